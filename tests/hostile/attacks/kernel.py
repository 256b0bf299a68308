"""What hostile code asks of the kernel: each function returns what it got, or raises what the kernel said.

Shipped as source into sandboxes and twins: it imports nothing of ours.
"""

import ctypes
import fcntl
import os
import platform
import socket
import struct
import subprocess

X86 = platform.machine() == "x86_64"
LIBC = ctypes.CDLL(None, use_errno=True)


def syscall(x86: int, arm: int, *arguments: object) -> int:
    """One system call by its numbers; raises OSError."""
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    found = int(LIBC.syscall(ctypes.c_long(x86 if X86 else arm), *words))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def io_uring(facts: dict) -> object:
    return syscall(425, 425, 4, ctypes.create_string_buffer(120))


def bpf_map(facts: dict) -> object:
    return syscall(321, 280, 0, ctypes.create_string_buffer(struct.pack("=IIII", 2, 4, 4, 1), 120), 120)


def perf_events(facts: dict) -> object:
    attributes = struct.pack("=IIQ", 1, 120, 0).ljust(40, b"\0") + struct.pack("=Q", 0b1100000)
    return syscall(298, 241, ctypes.create_string_buffer(attributes, 120), 0, -1, -1, 0)


def session_keyring(facts: dict) -> object:
    return syscall(250, 219, 0, -3, 1, 0, 0)


def new_key(facts: dict) -> object:
    return syscall(248, 217, b"user", b"hostile", b"payload", 7, -2)


def page_faults(facts: dict) -> object:
    return syscall(323, 282, 1)


def user_namespace(facts: dict) -> object:
    return syscall(272, 97, 0x10000000)


def mount_namespace(facts: dict) -> object:
    return syscall(272, 97, 0x00020000)


def mount_files(facts: dict) -> object:
    os.makedirs("/dev/shm/mounted", exist_ok=True)
    return syscall(165, 40, b"none", b"/dev/shm/mounted", b"tmpfs", 0, None)


def open_a_file_system(facts: dict) -> object:
    return syscall(430, 430, b"tmpfs", 0)


def change_the_root(facts: dict) -> object:
    os.chroot("/usr")
    return os.listdir("/")[:3]


def make_a_disk_device(facts: dict) -> object:
    os.mknod("/dev/shm/disk", 0o060600, os.makedev(8, 0))
    return os.stat("/dev/shm/disk").st_rdev


def open_by_handle(facts: dict) -> object:
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 136)
    mount_id = ctypes.c_int()
    syscall(303, 264, -100, b"/etc/hosts", handle, ctypes.byref(mount_id), 0)
    directory = os.open("/etc/hosts", os.O_RDONLY)
    return syscall(304, 265, directory, handle, os.O_RDONLY)


def raw_packets(facts: dict) -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).fileno()


def every_packet(facts: dict) -> object:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)).fileno()


def the_hypervisor(facts: dict) -> object:
    return socket.socket(40, socket.SOCK_STREAM).fileno()


def rewire_the_network(facts: dict) -> object:
    address = struct.pack("=16sHH4s8x", b"lo:evil", socket.AF_INET, 0, socket.inet_aton("127.9.9.9"))
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8916, address)
    return "another address"


def become_root(facts: dict) -> object:
    os.setresuid(0, 0, 0)
    return os.geteuid()


def root_by_a_setuid_program(facts: dict) -> object:
    """What `su` runs as while it asks for the password."""
    program = subprocess.Popen(["/usr/bin/su"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    program.stderr.read(1)  # "Password:"
    with open(f"/proc/{program.pid}/status") as file:
        status = file.read()
    program.kill()
    effective = status.split("Uid:")[1].split()[1]
    if effective != "0":
        raise PermissionError(f"runs as {effective}")
    return f"runs as {effective}"


def give_a_file_to_root(facts: dict) -> object:
    open("/dev/shm/gift", "w").close()
    os.chown("/dev/shm/gift", 0, 0)
    return os.stat("/dev/shm/gift").st_uid


def run_before_all_others(facts: dict) -> object:
    return os.nice(-5)


def rename_the_machine(facts: dict) -> object:
    socket.sethostname("hostile")
    return socket.gethostname()


def core_pattern(facts: dict) -> object:
    with open("/proc/sys/kernel/core_pattern", "r+") as file:
        return file.write(file.read())


def kernel_settings(facts: dict) -> object:
    with open("/proc/sys/vm/overcommit_memory", "r+") as file:
        return file.write(file.read())


def kernel_log(facts: dict) -> object:
    with open("/dev/kmsg", "rb") as file:
        return file.fileno()


def another_memory_limit(facts: dict) -> object:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(path):
            with open(path, "r+") as file:
                return file.write(file.read().strip() or "max")
    raise FileNotFoundError("no memory limit is to be seen")


def watch_every_file(facts: dict) -> object:
    return syscall(300, 262, 0x4, 0)


def predictable_addresses(facts: dict) -> object:
    return syscall(135, 92, 0x0040000)
