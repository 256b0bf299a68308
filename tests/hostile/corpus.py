"""The hostile corpus: code that tries something, each with a twin where a control is missing and it succeeds.

A case without a twin proves nothing: it might fail for any reason. Cases of one `shelf` run as steps of one
execution, one after another in one sandbox; `alone` gives a case an execution of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ATTACKS = Path(__file__).parent / "attacks"


class Twin(Enum):
    """Where a case is shown to succeed: the pod of a sandbox, but without one of its controls."""

    NO_SHIM = "process 1 is an ordinary program, nobody cleans up between steps"
    NO_SECCOMP = "seccomp Unconfined"
    PRIVILEGED = "a privileged container, as root"
    NEW_PRIVILEGES = "allowPrivilegeEscalation, with the capabilities that images usually have"
    SHARED_PROCESSES = "shareProcessNamespace, beside a container of the same uid that holds a key"
    HOST = "hostPID, hostPath, privileged"
    TOKEN = "automountServiceAccountToken"
    NO_POLICY = "a namespace without a NetworkPolicy, with the cluster's DNS"
    NO_LIMITS = "no limit of memory, files in a volume without a limit"
    THIS_MACHINE = "a process of the machine that tests, without limits of a pod"


@dataclass(frozen=True)
class Case:
    """Something that must not succeed in a sandbox."""

    sentence: str
    """What holds."""
    shelf: str
    """The module in `attacks`."""
    attack: str
    """The function in it."""
    twin: Twin
    leaves: bool = False
    """Whether a step before it, `leave_` and its name, hides what it looks for."""
    alone: bool = False
    """Whether it takes down what runs beside it."""
    gvisor: str = ""
    """Why it is not asked under gVisor, where it may succeed without harm."""

    @property
    def name(self) -> str:
        """The name of its step."""
        return f"{self.shelf}_{self.attack}"

    @property
    def functions(self) -> tuple[str, ...]:
        """What runs, each as a step of its own: what is left for the next step is left first."""
        return (f"leave_{self.attack}", self.attack) if self.leaves else (self.attack,)

    @property
    def language(self) -> str:
        """Which sandbox it runs in."""
        return self.shelf if self.shelf in ("javascript", "container") else "python"


_OWN_KERNEL = "the kernel that is asked is gVisor's own, in this sandbox alone"
_ITS_MEMORY = "gVisor's threads are its own memory, which the sandbox's memory limit bounds"


def _shelf(shelf: str, *rows: tuple) -> Iterable[Case]:
    for attack, twin, sentence, *more in rows:
        yield Case(sentence, shelf, attack, twin, **(more[0] if more else {}))


OWN = {"gvisor": _OWN_KERNEL}
NUMBERS = {"gvisor": "numbers of descriptors are listed there, nothing of what they are"}
LEFT = {"leaves": True}
T = Twin
CASES: tuple[Case, ...] = (
    *_shelf(
        "kernel",
        ("io_uring", T.NO_SECCOMP, "io_uring cannot be set up"),
        ("bpf_map", T.PRIVILEGED, "nothing is loaded into the kernel by bpf"),
        ("perf_events", T.PRIVILEGED, "the kernel's performance events are closed"),
        ("session_keyring", T.NO_SECCOMP, "the kernel's keyrings are closed", OWN),
        ("new_key", T.NO_SECCOMP, "no key is put into the kernel"),
        ("page_faults", T.NO_SECCOMP, "page faults are not handled by user code"),
        ("user_namespace", T.NO_SECCOMP, "no user namespace is made", OWN),
        ("mount_namespace", T.PRIVILEGED, "no mount namespace is made", OWN),
        ("mount_files", T.PRIVILEGED, "nothing is mounted"),
        ("open_a_file_system", T.PRIVILEGED, "the new interface of mounts is closed as well"),
        ("change_the_root", T.PRIVILEGED, "the root cannot be changed"),
        ("make_a_disk_device", T.PRIVILEGED, "no device is made"),
        ("open_by_handle", T.PRIVILEGED, "files are not opened by handles that know no root"),
        ("raw_packets", T.PRIVILEGED, "no raw socket is opened"),
        ("every_packet", T.PRIVILEGED, "packets of the runner in the same network are not read"),
        ("the_hypervisor", T.NO_SECCOMP, "no socket to the hypervisor is opened"),
        ("rewire_the_network", T.PRIVILEGED, "addresses of the pod's network are not changed"),
        ("become_root", T.PRIVILEGED, "nobody becomes root"),
        ("root_by_a_setuid_program", T.NEW_PRIVILEGES, "a setuid program of the image gives no rights"),
        ("give_a_file_to_root", T.PRIVILEGED, "no file is given to another user"),
        ("run_before_all_others", T.PRIVILEGED, "no priority over other tenants is taken", OWN),
        ("rename_the_machine", T.PRIVILEGED, "the machine keeps its name"),
        ("core_pattern", T.PRIVILEGED, "the program for core dumps is not set"),
        ("kernel_settings", T.PRIVILEGED, "settings of the kernel are not written"),
        ("kernel_log", T.PRIVILEGED, "the kernel's log is not read"),
        ("another_memory_limit", T.PRIVILEGED, "the memory limit is not written"),
        ("watch_every_file", T.PRIVILEGED, "file events of the machine are not watched"),
        ("predictable_addresses", T.NO_SECCOMP, "address randomisation is not switched off", OWN),
    ),
    *_shelf(
        "processes",
        ("environment_of_process_1", T.NO_SHIM, "the shim's environment is not read"),
        ("memory_of_process_1", T.NO_SHIM, "the shim's memory is not read"),
        ("write_into_process_1", T.NO_SHIM, "the shim's memory is not written"),
        ("memory_of_anyone", T.NO_SHIM, "the memory of the warm harness is not read"),
        ("read_by_system_call", T.NO_SHIM, "the shim's memory is not read by a system call either"),
        ("trace_process_1", T.NO_SHIM, "the shim is not traced"),
        ("steal_a_connection", T.NO_SECCOMP, "the shim's connection to the runner is not taken over"),
        ("descriptors_of_process_1", T.NO_SHIM, "the shim's descriptors are not listed", NUMBERS),
        ("log_of_the_pod", T.NO_SHIM, "nothing is written to the pod's own log"),
        ("root_of_process_1", T.NO_SHIM, "the shim's root is not walked"),
        (
            "key_in_an_environment",
            T.SHARED_PROCESSES,
            "the runner's key is in no environment that can be read",
        ),
        ("runner_by_its_name", T.SHARED_PROCESSES, "the runner is not among the processes"),
        ("speak_as_the_shim", T.SHARED_PROCESSES, "the runner takes no second connection"),
        ("token_of_the_pod", T.TOKEN, "there is no token of the cluster"),
        ("ask_the_cluster_with_the_token", T.TOKEN, "the pod proves no account to the cluster"),
        ("files_of_the_node", T.HOST, "files of the node are out of reach"),
        ("root_of_the_host", T.HOST, "the node's root is out of reach"),
        ("processes_of_the_host", T.HOST, "processes of the node are not seen"),
        ("another_shim", T.PRIVILEGED, "the shim's program is not replaced"),
        ("another_module", T.PRIVILEGED, "no module is put beside the standard library"),
        ("system_files", T.PRIVILEGED, "the image's system files are not written"),
        ("names_of_hosts", T.PRIVILEGED, "names of hosts are not forged"),
        (
            "fill_the_disk_by_the_last_message",
            T.NO_SHIM,
            "the node's disk is not filled by the file for a container's last message",
        ),
    ),
    *_shelf(
        "network",
        ("kubelet", T.NO_POLICY, "the kubelet is out of reach"),
        ("api_server", T.NO_POLICY, "the API server's service is out of reach"),
        ("api_server_on_its_node", T.NO_POLICY, "the API server itself is out of reach"),
        ("metadata", T.NO_POLICY, "the metadata service is out of reach"),
        ("internet", T.NO_POLICY, "the internet is out of reach"),
        ("internet_by_datagrams", T.NO_POLICY, "the internet is out of reach for datagrams"),
        ("neighbour", T.NO_POLICY, "a pod of another namespace is out of reach"),
        ("neighbour_by_datagrams", T.NO_POLICY, "it is for datagrams, too"),
        ("echo_request", T.NO_POLICY, "nothing leaves as an echo request"),
        ("dns_tunnel", T.NO_POLICY, "nothing leaves as a name by the cluster's DNS"),
        ("dns_tunnel_by_tcp", T.NO_POLICY, "nor by its TCP"),
        ("resolve_a_name", T.NO_POLICY, "names of the cluster are not resolved"),
        ("health_of_the_gateway", T.NO_POLICY, "the gateway's other port is out of reach"),
        ("api_of_citadel", T.NO_POLICY, "Citadel's own API is out of reach"),
        ("any_port_of_the_node", T.NO_POLICY, "no port of the node answers"),
        ("listen_to_the_world", T.NO_POLICY, "nobody else reaches a listener in a sandbox"),
    ),
    *_shelf(
        "steps",
        ("files", T.NO_SHIM, "files of a step are gone in the next, also in locked directories", LEFT),
        ("process", T.NO_SHIM, "processes of a step are gone in the next", LEFT),
        ("listener", T.NO_SHIM, "listeners of a step are gone in the next", LEFT),
        ("shared_memory", T.NO_SHIM, "System V shared memory of a step is gone in the next", LEFT),
        ("message", T.NO_SHIM, "System V messages of a step are gone in the next", LEFT),
        (
            "in_the_interpreter",
            T.NO_SHIM,
            "modules, builtins and environment are as new in the next step",
            LEFT,
        ),
        ("in_memory", T.NO_SHIM, "no memory of a step is found in the next", LEFT),
        (
            "working_directory",
            T.NO_SHIM,
            "directory, umask, signals and priority are as new in the next step",
            LEFT,
        ),
        ("inherited_limits", T.NO_SHIM, "limits that a step sets on others do not reach the next", LEFT),
    ),
    *_shelf(
        "javascript",
        ("environment_of_the_shim", T.NO_SHIM, "JavaScript does not read the shim's environment"),
        ("descriptors_of_the_shim", T.NO_SHIM, "JavaScript does not list the shim's descriptors", NUMBERS),
        ("the_image", T.PRIVILEGED, "JavaScript does not write to its image"),
        ("the_kubelet", T.NO_POLICY, "JavaScript does not reach the kubelet"),
        ("the_metadata_service", T.NO_POLICY, "JavaScript does not reach the metadata service"),
        ("a_setuid_child", T.PRIVILEGED, "a setuid program that JavaScript starts mounts nothing"),
        ("globals", T.NO_SHIM, "globals, prototypes and environment of JavaScript are as new", LEFT),
        ("a_child", T.NO_SHIM, "a detached child of JavaScript is gone in the next step", LEFT),
    ),
    *_shelf(
        "container",
        ("environment_of_the_shim", T.NO_SHIM, "a command does not read the shim's environment"),
        ("memory_of_the_shim", T.NO_SHIM, "a command does not see the shim's memory"),
        ("log_of_the_pod", T.NO_SHIM, "a command does not write to the pod's own log"),
        ("the_image", T.PRIVILEGED, "a command does not write to its image"),
        ("a_mount", T.PRIVILEGED, "a command mounts nothing"),
        ("a_user_namespace", T.NO_SECCOMP, "a command makes no user namespace", OWN),
        ("a_device", T.PRIVILEGED, "a command makes no device"),
        ("a_token", T.TOKEN, "a command finds no token of the cluster"),
        ("the_kubelet", T.NO_POLICY, "a command does not reach the kubelet"),
        ("the_metadata_service", T.NO_POLICY, "a command does not reach the metadata service"),
        ("a_name", T.NO_POLICY, "a command resolves no name of the cluster"),
    ),
    *_shelf(
        "bombs",
        ("memory", T.NO_LIMITS, "a memory bomb is ended by the limit", {"alone": True}),
        (
            "processes",
            T.THIS_MACHINE,
            "a fork bomb is ended by the limit of processes or of memory",
            {"alone": True},
        ),
        (
            "threads",
            T.THIS_MACHINE,
            "a thread bomb is ended by the limit of processes",
            {"alone": True, "gvisor": _ITS_MEMORY},
        ),
        ("files", T.NO_LIMITS, "files fill a sandbox's own memory and no disk"),
        ("shared_memory", T.NO_LIMITS, "nor does shared memory"),
        ("names", T.NO_LIMITS, "an inode bomb is ended by the memory limit", {"alone": True}),
        ("descriptors", T.NO_LIMITS, "a descriptor bomb is ended by the memory limit", {"alone": True}),
        ("sockets", T.NO_LIMITS, "a bomb of socket buffers is ended by the memory limit", {"alone": True}),
    ),
)
