#!/bin/sh
# Writes .env with new passwords for docker-compose.yml: sh deploy/make-env.sh
set -eu
cd "$(dirname "$0")/.."
umask 077

if [ -e .env ]; then
  echo 'make-env: .env is there already; the passwords in it are those of your volumes' >&2
  exit 1
fi
random() {
  od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'
}
cat > .env <<END
POSTGRES_PASSWORD=$(random)
REDIS_PASSWORD=$(random)
S3_ACCESS_KEY=relay-$(random | cut -c1-12)
S3_SECRET_KEY=$(random)
METRICS_TOKEN=$(random)
END
echo 'make-env: .env is written' >&2
