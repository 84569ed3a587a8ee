package deploy

import (
	"strings"
	"testing"
)

// exposure is the most that systemd may find fault with the sandbox, of 100. What is left are the network, which a
// server has, and the question what the time is, which is a call that could also set it.
const exposure = "18"

// units puts the units into a directory where systemd finds the binary that they start.
func units(t *testing.T, old, with string) []string {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"fencepost.service", "fencepost.socket"} {
		text := strings.ReplaceAll(read(t, root, "deploy/systemd", name), "/usr/bin/fencepost", ours("fencepost"))
		if strings.HasSuffix(name, ".service") {
			text = replaced(t, text, old, with)
		}
		files = append(files, write(t, dir, name, text))
	}
	return files
}

func TestUnits(t *testing.T) {
	verify := func(old, with string) []string {
		return append([]string{"systemd-analyze", "verify", "--man=no"}, units(t, old, with)...)
	}
	security := func(old, with string) []string {
		return []string{"systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=" + exposure, units(t, old, with)[0]}
	}
	const same = "[Service]\n"
	// What it warns about it ignores, and would ignore where it runs.
	r := command(t, nil, verify(same, same)...)
	if r.code != 0 || r.stderr != "" {
		t.Error(r)
	}
	accept(t, security(same, same)...)

	refuse(t, "is not executable", verify("ExecStart=", "ExecStart=/nowhere")...)
	for _, mistake := range [][2]string{{"WatchdogSec=30s", "WatchDogSec=30s"}, {"Type=notify\n", "Type=notified\n"}, {"SystemCallFilter=@system-service", "SystemCallFilter=@system-services"}} {
		if r := command(t, nil, verify(mistake[0], mistake[1])...); r.code == 0 && r.stderr == "" {
			t.Errorf("systemd-analyze takes %s", mistake[1])
		}
	}
	refuse(t, "exposure", security("CapabilityBoundingSet=\n", "CapabilityBoundingSet=CAP_SYS_ADMIN\n")...)
	refuse(t, "exposure", security("SystemCallFilter=@system-service\n", "")...)
}
