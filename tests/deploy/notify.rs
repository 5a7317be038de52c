//! What the service manager is told, from the start to the end.

use std::{
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::{dir_with, ring, wait_for};

const CONFIG: &str = "{route: {receiver: r}, receivers: [{name: r}]}";

#[test]
fn the_service_manager_hears_of_start_life_reload_and_end() {
    let dir = dir_with(CONFIG);
    let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let web = format!("127.0.0.1:{}", ring::free_ports(1)[0]);
    let command = ring::command(dir.path(), "n", &web);
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .arg("--cluster.listen-address=")
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("WATCHDOG_USEC", "200000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hear = || {
        let mut buffer = [0; 500];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let hear_but_heartbeats = || std::iter::repeat_with(hear).find(|text| text != "WATCHDOG=1").unwrap();
    let signal = |name: &str, pid: u32| {
        assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
    };

    assert!(hear_but_heartbeats().starts_with("READY=1\n"));
    // It serves when it says so.
    assert!(std::net::TcpStream::connect(&web).is_ok());
    assert!((0..3).all(|_| hear() == "WATCHDOG=1"));

    signal("HUP", child.id());
    assert!(hear_but_heartbeats().starts_with("RELOADING=1\n"));
    assert_eq!(hear_but_heartbeats(), "READY=1\nSTATUS=Serving");

    std::fs::write(dir.path().join("alertmanager.yml"), "route: [").unwrap();
    signal("HUP", child.id());
    assert!(hear_but_heartbeats().starts_with("RELOADING=1\n"));
    let status = hear_but_heartbeats();
    assert!(status.starts_with("READY=1\n") && status.contains("old configuration"), "{status}");

    signal("TERM", child.id());
    assert!(hear_but_heartbeats().starts_with("STOPPING=1\n"));
    let ended = wait_for("the server ends", Duration::from_secs(20), || child.try_wait().unwrap());
    assert!(ended.success());
}
