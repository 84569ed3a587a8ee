package interop

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// TestNotationCrowd: signatures that are made at the same time are all there afterwards, or whoever's is lost is
// told so. Where the list of signatures is under a tag, the last to write it wins.
func TestNotationCrowd(t *testing.T) {
	a, s := startDev(t), newIdentity(t, "p256", day)
	const crowd = 8
	for _, kind := range placeKinds {
		t.Run(kind, func(t *testing.T) {
			p := startPlace(t, kind)
			w, img := scratch(t), p.push(t)
			var wait sync.WaitGroup
			results := make([]string, crowd)
			for i := range crowd {
				argv := own{}.signArgs(img, s, signing{format: formats[i%2], stamp: a, metadata: []string{fmt.Sprint("number=", i)}})
				cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
				cmd.Dir, cmd.Env = w.dir, append(os.Environ(), w.env...)
				wait.Go(func() {
					if out, err := cmd.CombinedOutput(); err != nil {
						results[i] = string(out)
					}
				})
			}
			wait.Wait()
			how := verifying{config: trust{ca: s.root, tsa: a.rootPEM()}.config(t), max: fmt.Sprint(crowd + 1)}
			for i, failed := range results {
				if failed != "" {
					t.Logf("signature %d: %s", i, failed)
					continue
				}
				how.metadata = []string{fmt.Sprint("number=", i)}
				if v := (own{}).judge(t, w.run(t, own{}.verifyArgs(img, how)...)); !v.verified {
					t.Errorf("signature %d is not there, and its signer was not told: %+v", i, v)
				}
			}
		})
	}
}
