# Sourced by up, down and service: where the cluster keeps its state, and how each daemon starts and stops.
#
# A daemon is called after its program: munged, mariadbd, slurmdbd, slurmctld, and slurmd-n1 … slurmd-n4, one for each
# node. Its process id is in $STATE/<daemon>.pid. There is no systemd, and a container's PID 1 may reap late.

# In memory: the database and slurmctld fsync all the time, which is slow on a disk.
STATE=${TEST_SLURM_DIR:-/dev/shm/test-slurm}
MARK=.test-cluster # only a directory with this file in it is written to, and removed
NODES=(n1 n2 n3 n4)
MUNGE_SOCKET=$STATE/munge/munge.sock
DATABASE_SOCKET=$STATE/mysql/mysqld.sock
# Not SLURM's own ports: a workstation may belong to a real cluster.
SLURMCTLD_PORT=16817
SLURMDBD_PORT=16819
DATABASE_PORT=13306
FIRST_SLURMD_PORT=17001
export SLURM_CONF=$STATE/slurm.conf

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

wait_until() { # SECONDS COMMAND…
    local seconds=$1 attempt
    shift
    for ((attempt = 0; attempt < seconds * 20; attempt++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    fail "gave up after $seconds s waiting until: $* (the daemons' logs are in $STATE/log)"
}

is_listening() { # PORT
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The name in /proc guards against a process id that has been given to some other program since.
process_of() { # DAEMON → its process id; false if it isn't running
    local pid
    pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
    is_alive "$pid" && [ "$(cat "/proc/$pid/comm")" = "${1%%-*}" ] && echo "$pid"
}

is_alive() { # PROCESS_ID; a zombie is dead
    grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null
}

is_dead() {
    ! is_alive "$1"
}

is_running() { # DAEMON
    process_of "$1" >/dev/null
}

stop_daemon() { # DAEMON
    local pid
    if pid=$(process_of "$1"); then
        kill "$pid"
        (wait_until 10 is_dead "$pid") 2>/dev/null || kill -KILL "$pid"
        wait_until 5 is_dead "$pid"
    fi
    rm -f "$STATE/$1.pid"
}

kill_daemon() { # DAEMON
    local pid
    pid=$(process_of "$1") || fail "$1 is not running"
    kill -KILL "$pid"
    wait_until 5 is_dead "$pid"
    rm -f "$STATE/$1.pid"
}

start_munged() {
    if ! is_running munged; then
        # --force: munged dislikes running as root below a world-writable /dev/shm.
        munged --force --key-file="$STATE/munge/munge.key" --socket="$MUNGE_SOCKET" --pid-file="$STATE/munged.pid" \
            --log-file="$STATE/log/munged.log" --seed-file="$STATE/munge/munge.seed" --num-threads=4 2>/dev/null
    fi
    wait_until 10 munge --socket="$MUNGE_SOCKET" --no-input
}

sql() { # STATEMENTS
    mariadb --no-defaults --socket="$DATABASE_SOCKET" --execute="$1"
}

start_mariadbd() {
    # Small, and careless about power cuts: what it holds is worth nothing once the cluster is down.
    local settings=(--no-defaults --user=root --datadir="$STATE/mysql/data" --innodb-log-file-size=8M
        --innodb-flush-method=nosync --skip-innodb-doublewrite --sync-frm=0)
    if ! is_running mariadbd; then
        [ -d "$STATE/mysql/data/mysql" ] || mariadb-install-db "${settings[@]}" --skip-test-db \
            --auth-root-authentication-method=socket >"$STATE/log/mariadb-install-db.log" 2>&1
        # slurmdbd refuses an InnoDB lock timeout under 900 s.
        setsid mariadbd "${settings[@]}" --socket="$DATABASE_SOCKET" --bind-address=127.0.0.1 --port=$DATABASE_PORT \
            --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 \
            --skip-name-resolve --pid-file="$STATE/mysql/mysqld.pid" --log-error="$STATE/log/mariadbd.log" \
            </dev/null >/dev/null 2>&1 &
        echo $! >"$STATE/mariadbd.pid"
    fi
    wait_until 30 sql "select 1"
    sql "create database if not exists slurm_acct_db;
         create user if not exists slurm@'127.0.0.1' identified by 'slurm';
         grant all on slurm_acct_db.* to slurm@'127.0.0.1'"
}

start_slurmdbd() {
    is_running slurmdbd || slurmdbd # finds slurmdbd.conf beside $SLURM_CONF
    wait_until 30 is_listening $SLURMDBD_PORT
    wait_until 30 sacctmgr --noheader list cluster
}

start_slurmctld() {
    is_running slurmctld || slurmctld
    wait_until 30 scontrol ping
}

launch_slurmd() { # NODE; it is up when it has registered: node_is_up
    mkdir -p "$STATE/spool/$1"
    # It would keep its starter's pipes open for as long as it lives.
    is_running "slurmd-$1" || slurmd -N "$1" </dev/null >/dev/null 2>&1
}

node_is_up() { # NODE
    sinfo --noheader --nodes="$1" --states=idle,mix,alloc --format=%N | grep -q . && ! sinfo --noheader --nodes="$1" --format=%T | grep -q '\*'
}

# A node that loses power takes its step daemons and their tasks with it. The daemons go first: a step daemon that saw its
# tasks die would report the job as failed, instead of leaving slurmctld to find the node gone.
kill_node() { # NODE
    is_running "slurmd-$1" || fail "slurmd-$1 is not running"
    local tasks
    tasks=$(tasks_of_node "$1")
    # shellcheck disable=SC2046,SC2086 # lists of process ids
    kill -KILL $(daemons_of_node "$1") $tasks 2>/dev/null || true # some end while the others are being killed
    rm -f "$STATE/slurmd-$1.pid"
}

daemons_of_node() { # NODE → process ids of its slurmd and its step daemons: they hold its log open
    find /proc/[0-9]*/fd -lname "$STATE/log/slurmd-$1.log" 2>/dev/null | cut -d/ -f3 | sort -u
}

tasks_of_node() { # NODE → process ids of what its jobs started
    local environment
    for environment in $(grep -lzx "SLURMD_NODENAME=$1" /proc/[0-9]*/environ 2>/dev/null); do
        grep -qzx "SLURM_CONF=$SLURM_CONF" "$environment" 2>/dev/null && echo "$environment" | cut -d/ -f3
    done
}
