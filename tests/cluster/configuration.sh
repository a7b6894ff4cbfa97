# Sourced by up: writes what SLURM reads. Needs daemons.sh.

GPUS_PER_NODE=4
CPUS_PER_NODE=8
MEMORY_MEGABYTES_PER_NODE=16000

write_slurm_conf() { # WITH_ACCOUNTING (yes or no)
    {
        slurm_conf
        if [ "$1" = yes ]; then slurm_conf_accounting; else echo "AccountingStorageType=accounting_storage/none"; fi
    } >"$SLURM_CONF.new"
    mv "$SLURM_CONF.new" "$SLURM_CONF" # at once: a client may be reading it
}

slurm_conf() {
    local host last=$((${#NODES[@]} - 1))
    host=$(hostname -s)
    cat <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its old credential has expired: 120 s by default.
AuthInfo=socket=$MUNGE_SOCKET,cred_expire=10

SlurmctldPort=$SLURMCTLD_PORT
CommunicationParameters=NoAddrCache,NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd-%n.pid
StateSaveLocation=$STATE/state
SlurmdSpoolDir=$STATE/spool/%n
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdLogFile=$STATE/log/slurmd-%n.log

# No cgroups: a container seldom has them to give. Memory is sampled, not enforced by the kernel.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
TmpFS=/tmp

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=100000
EnforcePartLimits=ALL
PriorityType=priority/basic
# Small enough that tests meet it.
MaxArraySize=401

JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
OverTimeLimit=0
MinJobAge=300
InactiveLimit=0
MessageTimeout=20
SlurmctldTimeout=60
SlurmdTimeout=10
BatchStartTimeout=3
UnkillableStepTimeout=60
# A node that was lost is used again as soon as its slurmd is back.
ReturnToService=2

# Every node is this machine, with more CPUs than it has and GPUs that are nodes of /dev/null.
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n[1-${#NODES[@]}] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$FIRST_SLURMD_PORT-$((FIRST_SLURMD_PORT + last))] CPUs=$CPUS_PER_NODE Sockets=1 CoresPerSocket=$CPUS_PER_NODE ThreadsPerCore=1 RealMemory=$MEMORY_MEGABYTES_PER_NODE Gres=gpu:$GPUS_PER_NODE State=UNKNOWN

PartitionName=DEFAULT Nodes=ALL MaxTime=INFINITE DefaultTime=10 DefMemPerCPU=256 OverSubscribe=NO State=UP
PartitionName=debug Default=YES PriorityTier=1 PreemptMode=OFF
# A job in urgent takes nodes from jobs in preemptible, which have 10 s to stop and then wait to be started again.
PartitionName=preemptible PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=urgent PriorityTier=10 PreemptMode=OFF
CONF
}

slurm_conf_accounting() {
    cat <<CONF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$SLURMDBD_PORT
AccountingStoragePass=$MUNGE_SOCKET
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
CONF
}

write_gres_conf() {
    # nvidia_gpu_env: SLURM sets CUDA_VISIBLE_DEVICES, as it does for real ones.
    cat >"$STATE/gres.conf" <<CONF
AutoDetect=off
Name=gpu File=$STATE/dev/nvidia[0-$((GPUS_PER_NODE - 1))] Flags=nvidia_gpu_env
CONF
}

write_slurmdbd_conf() {
    install -m 600 /dev/null "$STATE/slurmdbd.conf" # slurmdbd refuses one that others can read
    cat >"$STATE/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$MUNGE_SOCKET
DbdHost=$(hostname -s)
DbdAddr=127.0.0.1
DbdPort=$SLURMDBD_PORT
SlurmUser=root
PidFile=$STATE/slurmdbd.pid
LogFile=$STATE/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DATABASE_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
}
