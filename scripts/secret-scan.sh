#!/usr/bin/env bash
# Looks for secrets in every tracked file and in every commit: our own tokens by their prefixes, private keys, cloud credentials.
# Exit code 1 where one is found; its place is printed, the secret is not.
set -uo pipefail
cd "$(dirname "$0")/.."

pattern='zr[aics]_[A-Za-z0-9_-]{43}|zrsetup_[A-Za-z0-9_-]{43}|BEGIN ([A-Z]+ )?PRIVATE KEY|AKIA[0-9A-Z]{16}'
# Texts that only look like one, because a test is about such: keys of zeros or without a key, and AWS's own published example.
known=(':!scripts/secret-scan.sh' ':!test/crypto/hostile' ':!test/vectors' ':!test/scripts/people.test.ts' ':!test/server/adapters/sigv4.test.ts')

files=$(git grep -lIE "$pattern" -- . "${known[@]}")
commits=$(git log --all --format=%h -G"$pattern" -- . "${known[@]}") || exit 1
[ -z "$files" ] || printf 'what looks like a secret is in %s\n' $files >&2
[ -z "$commits" ] || printf 'what looks like a secret came or went with commit %s\n' $commits >&2
[ -z "$files$commits" ]
