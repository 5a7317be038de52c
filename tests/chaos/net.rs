//! A network for three nodes out of namespaces: each has an address of its own, and all talk through a router, which is
//! this process's namespace. Needs root; everything is gone when the process ends.

use std::process::{Command, Stdio};

/// Set for the process that runs in namespaces of its own.
const INSIDE: &str = "CARILLON_CHAOS_INSIDE";

/// Whether this process may change the network and mounts: it is in namespaces of its own.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this test once more in namespaces of its own, if that is possible here; whether it did, and succeeded.
pub fn enter(test: &str) -> Option<bool> {
    if is_inside() {
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let mut trial = Command::new("unshare");
    trial.args(["--net", "--mount", "ip", "link"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !trial.status().is_ok_and(|status| status.success()) {
        eprintln!("not root, or without unshare and ip: scenarios that need namespaces are skipped");
        return None;
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    Some(status.success())
}

fn must(program: &str, args: &str) {
    let output = Command::new(program).args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes loopback work inside, and a place for the names of namespaces that nobody outside sees.
pub fn prepare() {
    must("ip", "link set lo up");
    std::fs::create_dir_all("/run/netns").unwrap();
    must("mount", "-t tmpfs none /run/netns");
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
}

/// The router's address, where sender and receiver are.
pub const ROUTER: &str = "10.77.0.254";

pub fn address(node: usize) -> String {
    format!("10.77.{node}.1")
}

/// What to put before a command to run it in the node's namespace.
pub fn prefix(node: usize) -> Vec<String> {
    ["ip", "netns", "exec", &format!("n{node}")].map(str::to_owned).to_vec()
}

pub struct Net {
    nodes: usize,
}

impl Net {
    pub fn new(nodes: usize) -> Net {
        must("ip", &format!("address add {ROUTER}/32 dev lo"));
        for i in 0..nodes {
            must("ip", &format!("netns add n{i}"));
            must("ip", &format!("link add v{i} type veth peer name eth0 netns n{i}"));
            must("ip", &format!("address add 10.77.{i}.2/30 dev v{i}"));
            must("ip", &format!("link set v{i} up"));
            must("ip", &format!("-n n{i} link set lo up"));
            must("ip", &format!("-n n{i} address add {}/30 dev eth0", address(i)));
            must("ip", &format!("-n n{i} link set eth0 up"));
            must("ip", &format!("-n n{i} route add default via 10.77.{i}.2"));
        }
        Net { nodes }
    }

    /// The router drops everything between these two, without a word to either.
    pub fn cut(&self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            must("ip", &format!("rule add from {} to {} blackhole", address(from), address(to)));
        }
    }

    pub fn heal(&self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            must("ip", &format!("rule del from {} to {} blackhole", address(from), address(to)));
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for i in 0..self.nodes {
            must("ip", &format!("netns del n{i}"));
        }
        must("ip", &format!("address del {ROUTER}/32 dev lo"));
    }
}
