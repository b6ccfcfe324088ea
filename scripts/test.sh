#!/usr/bin/env bash
# npm test [-- FILES]: types, lint and format, then every test; the runner's own summary stands last.
#
# Some tests need programs that nobody here wrote (a Ceph Object Gateway, rclone, awscli, Go, strace). As root on Debian they are
# installed; elsewhere one line says what to install, and their tests are skipped and counted. ZEROREEL_REQUIRE_ALL=1: absence is a failure.
# ZEROREEL_TEST_RESULTS=FILE keeps the results as JSON.
set -uo pipefail
cd "$(dirname "$0")/.."

# command:package
wanted=(radosgw:radosgw ceph-mon:ceph-mon ceph-osd:ceph-osd ceph:ceph-common rclone:rclone aws:awscli strace:strace go:golang-go chromium:chromium nginx:nginx-light caddy:caddy)
missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
[ -d /usr/share/gocode/src/golang.org/x/mod ] || missing+=(golang-golang-x-mod-dev)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing what some tests need: ${missing[*]}" >&2
  log=$(mktemp)
  # The tests make clusters of their own; Debian's package would make and start one of the system's.
  mkdir -p /etc/postgresql-common/createcluster.d && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/no-main-cluster.conf
  if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    missing=()
  else
    echo "the installation failed: $(grep -m1 '^E:' "$log" | sed -E 's#https?://[^ ]*#...#g')" >&2
  fi
  rm -f "$log"
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "*** SOME TESTS WILL BE SKIPPED; on Debian: apt-get install ${missing[*]} ***" >&2
fi

status=0
if [ $# -eq 0 ]; then
  npm run -s check || { status=1; echo '*** TYPES, LINT OR FORMAT: see above ***' >&2; }
fi

results=${ZEROREEL_TEST_RESULTS:-$(mktemp)}
npx vitest run --config test/vitest.config.ts --reporter=default --reporter=json --outputFile.json="$results" "$@" || status=1
npx tsx scripts/test-summary.ts "$results" || status=1
[ -n "${ZEROREEL_TEST_RESULTS:-}" ] || rm -f "$results"
exit $status
