# The life of the package on a machine that systemd runs. It ends at the first thing that is not as it should be;
# the last line is "all is well".
set -euxo pipefail
cd /root/check
trap 'set +x; systemctl status --no-pager fencepost.service; journalctl --no-pager -n 60 -o cat -u fencepost.service' ERR

property() { systemctl show --property "$1" --value fencepost.service; }
until_is() { # PROPERTY PATTERN
	for _ in {1..150}; do
		[[ $(property "$1") =~ ^($2)$ ]] && return 0
		sleep 0.1
	done
	echo "$1 is $(property "$1"), not $2"
	return 1
}
answers() { curl -sSf --max-time 5 "http://127.0.0.1:3000$1"; }
stamps() {
	answers /api/v1/timestamp/certchain >chain.pem
	date >file
	fencepost timestamp create --tsa http://127.0.0.1:3000 --chain chain.pem --force file
	fencepost timestamp verify --chain chain.pem file
}

# Installing makes a user and nothing that is secret, and starts nothing.
dpkg --install --force-depends old.deb
[[ $(dpkg-query --show --showformat '${Version} ${Status}' fencepost) == '1.2.3~rc.1 install ok installed' ]]
getent passwd fencepost | grep -q ':/var/lib/fencepost:/usr/sbin/nologin$'
[[ $(stat -c '%a %U %G' /etc/fencepost) == '750 root fencepost' ]]
[[ $(find /etc/fencepost -type f) == /etc/fencepost/fencepost.yaml ]]
[[ ! -e /var/lib/fencepost ]]
[[ $(systemctl is-enabled fencepost.service || true) == disabled ]]
[[ $(property ActiveState) == inactive ]]
[[ -z $(systemd-analyze verify --man=no fencepost.service fencepost.socket 2>&1) ]]

# As the comments of the configuration say.
if fencepost serve --config /etc/fencepost/fencepost.yaml --check-config; then
	echo 'a configuration without a policy is taken'
	exit 1
fi
fencepost cert create --out /etc/fencepost/tsa --organization Example --country DE
chown -R fencepost: /etc/fencepost/tsa
sed -i 's/^  policy:$/  policy: 1.3.6.1.4.1.99999.1/' /etc/fencepost/fencepost.yaml

# By the kernel's clock, which nothing may discipline here: then it runs, and refuses for want of the time, not for
# want of being allowed to ask.
systemctl start fencepost.service
[[ $(property ActiveState)/$(property SubState) == active/running ]]
[[ $(answers /ping) == . ]]
curl -s http://127.0.0.1:2112/readyz | tee readyz
grep -Eq "kernel's clock is not synchronised|\"state\": \"synchronised\"" readyz
systemctl stop fencepost.service

# By a declared one, which has timestamps.
sed -i 's/clock: {source: kernel}/clock: {source: system, bound: 500ms}/' /etc/fencepost/fencepost.yaml
systemctl enable --now fencepost.service
stamps
[[ $(stat -c '%a %U' /var/lib/fencepost) == '700 fencepost' ]]
[[ $(stat -c %U "/proc/$(property MainPID)") == fencepost ]]
grep -q '^CapBnd:\s*0000000000000000$' "/proc/$(property MainPID)/status"
grep -q '^NoNewPrivs:\s*1$' "/proc/$(property MainPID)/status"
grep -q '^Seccomp:\s*2$' "/proc/$(property MainPID)/status"
grep -rhq '"kind":"token"' /var/lib/fencepost/audit
# What the sandbox must not keep from it: the alert about restarts goes by the one, a flood of clients by the other.
curl -sSf http://127.0.0.1:2112/metrics >metrics
grep -q '^process_start_time_seconds ' metrics
[[ $(ss -Hltn 'sport = :3000' | awk '{ print $3 }') == "$(cat /proc/sys/net/core/somaxconn)" ]]

# It says how it is, and a reload keeps the process.
[[ -n $(property StatusText) ]]
pid=$(property MainPID)
systemctl reload fencepost.service
until_is ActiveState active
stamps
[[ $(property MainPID) == "$pid" ]]

# One that hangs is noticed by the watchdog; the unit's half minute is made shorter for that.
mkdir -p /run/systemd/system/fencepost.service.d
printf '[Service]\nWatchdogSec=2s\nTimeoutAbortSec=2s\n' >/run/systemd/system/fencepost.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart fencepost.service
sleep 5
[[ $(property NRestarts) == 0 ]]
kill -STOP "$(property MainPID)"
until_is Result watchdog
until_is NRestarts '[1-9]'
until_is ActiveState active
stamps
rm -r /run/systemd/system/fencepost.service.d
systemctl daemon-reload

# The socket of systemd: no connection is refused while the service restarts.
sed -i 's/^listen: .*/listen: ["systemd:fencepost"]/' /etc/fencepost/fencepost.yaml
systemctl stop fencepost.service
systemctl start fencepost.socket
[[ $(answers /ping) == . ]]
stamps
systemctl stop fencepost.service
[[ $(answers /ping) == . ]]
systemctl stop fencepost.socket fencepost.service
sed -i 's/^listen: .*/listen: ["127.0.0.1:3000"]/' /etc/fencepost/fencepost.yaml
systemctl start fencepost.service

# An upgrade keeps the configuration and has the new one run.
pid=$(property MainPID)
chmod 0755 /etc/fencepost
dpkg --install --force-depends new.deb
[[ $(stat -c %a /etc/fencepost) == 755 ]]
[[ $(dpkg-query --show --showformat '${Version}' fencepost) == 1.2.3 ]]
grep -q 'policy: 1.3.6.1.4.1.99999.1' /etc/fencepost/fencepost.yaml
until_is ActiveState active
[[ $(property MainPID) != "$pid" ]]
stamps

# Removal ends it; what it wrote, and what the operator did, stays.
dpkg --remove fencepost
[[ $(systemctl is-active fencepost.service || true) == inactive ]]
[[ ! -e /usr/bin/fencepost && ! -e /lib/systemd/system/fencepost.service ]]
[[ -z $(find /etc/systemd -name 'fencepost*') ]]
[[ -e /etc/fencepost/fencepost.yaml && -e /etc/fencepost/tsa/key.pem ]]
dpkg --purge fencepost
[[ ! -e /etc/fencepost/fencepost.yaml ]]
[[ -e /etc/fencepost/tsa/key.pem ]]
grep -rhq '"kind":"token"' /var/lib/fencepost/audit
[[ -z $(dpkg-query --list fencepost 2>/dev/null | grep '^[a-z]i ') ]]

set +x
echo all is well
