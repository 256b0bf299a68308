// What hostile JavaScript tries: each function returns what it got, or throws what held it.
// Shipped as source into sandboxes and twins: it imports nothing of ours.
import child from "node:child_process";
import fs from "node:fs";
import net from "node:net";

const connect = (host, port) =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, timeout: 1500 });
    socket.on("connect", () => (socket.destroy(), resolve(`connected to ${host}:${port}`)));
    socket.on("timeout", () => (socket.destroy(), reject(new Error("timed out"))));
    socket.on("error", reject);
  });

const found = (what) => {
  if (what === undefined || what === false) throw new Error("nothing of another step");
  return what;
};

const attacks = {
  environment_of_the_shim: () => fs.readFileSync("/proc/1/environ").length,
  descriptors_of_the_shim: () => fs.readdirSync("/proc/1/fd").length,
  the_image: () => fs.writeFileSync("/usr/lib/hostile.js", "x"),
  the_kubelet: ({ node }) => connect(node, 10250),
  the_metadata_service: async () => (await connect("169.254.169.254", 80)),
  a_setuid_child: () => {
    const said = child.spawnSync("/usr/bin/mount", ["-t", "tmpfs", "none", "/mnt"]);
    if (said.status !== 0) throw new Error(String(said.stderr));
    return "mounted";
  },
  leave_globals: () => {
    globalThis.left = Object.prototype.left = "x";
    process.env.LEFT = "x";
    JSON.stringify = () => '"forged"';
    return "left";
  },
  globals: () => found(globalThis.left ?? {}.left ?? process.env.LEFT),
  leave_a_child: () => {
    child.spawn("/bin/sleep", ["6060"], { detached: true, stdio: "ignore" }).unref();
    return "left";
  },
  a_child: () =>
    found(
      fs
        .readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .find((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("6060")),
    ),
};
