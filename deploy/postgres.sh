#!/bin/sh
# PostgreSQL in a container: makes its databases at the first start, then runs. One for the node's queue and records,
# one for the index of its Orthanc; the password is that of the secret, also after it was changed.
set -eu
bin="$(dirname "$(ls /usr/lib/postgresql/*/bin/postgres | tail -n 1)")"
data=/var/lib/glioloop-database/data
secret=/run/secrets/postgres_password
run="$bin/postgres --single -D $data"
umask 077

if [ ! -e "$data/PG_VERSION" ]; then
  rm -rf "$data.new"
  "$bin/initdb" -D "$data.new" -U glioloop --auth=scram-sha-256 --pwfile="$secret" -E UTF8 --locale=C.UTF-8
  echo "host all all all scram-sha-256" >>"$data.new/pg_hba.conf"
  for name in glioloop orthanc; do
    echo "CREATE DATABASE $name" | "$bin/postgres" --single -D "$data.new" postgres >/dev/null
  done
  mv "$data.new" "$data"
fi
# A lone quote of SQL is written twice.
echo "ALTER ROLE glioloop PASSWORD '$(sed "s/'/''/g" "$secret")'" | $run postgres >/dev/null
exec "$bin/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
