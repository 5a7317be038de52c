//! What happens at the limits: too many alerts, silences and connections, bodies and heads that are too large, clients
//! that are too slow. Each is refused with an answer that says why, counted, and harms nobody else.

#![allow(clippy::disallowed_methods, reason = "the real program runs in real time")]

mod support;

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Server, dir_with,
    hook::Hook,
    http, pass,
    ring::{self, Node},
    wait_for,
};

fn config(hook: &Hook) -> String {
    format!(
        "
route: {{receiver: hook, group_by: [alertname], group_wait: 50ms, group_interval: 1s}}
receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]
",
        hook.url()
    )
}

fn quiet() -> tempfile::TempDir {
    dir_with("{route: {receiver: r}, receivers: [{name: r}]}")
}

fn silence(name: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false}], "createdBy": "test", "comment": "",
        "startsAt": "2024-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
    })
}

/// Resident memory in MiB.
fn memory(server: &Server) -> f64 {
    server.metric("process_resident_memory_bytes").unwrap() / f64::from(1 << 20)
}

/// The status of the answer on this connection, if one comes within `limit`.
fn status(stream: &mut TcpStream, limit: Duration) -> io::Result<u16> {
    stream.set_read_timeout(Some(limit))?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    String::from_utf8_lossy(&head[9..]).parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

#[test]
fn alerts_of_one_name_above_the_limit_are_dropped_and_counted_and_known_ones_go_on() {
    let dir = quiet();
    let server = Server::start(dir.path(), &["--alerts.per-alertname-limit=10"]);
    let alerts = |range: std::ops::Range<u32>| -> Value {
        range.map(|n| json!({"labels": {"alertname": "Many", "n": n.to_string()}})).collect()
    };
    server.post_alerts(&alerts(0..15));
    server.post_alerts(&json!([{"labels": {"alertname": "Other"}}]));
    let held = |server: &Server| server.get("/api/v2/alerts").as_array().unwrap().len();
    assert_eq!(held(&server), 11);
    assert_eq!(server.metric("alertmanager_alerts_limited_total"), Some(5.0));
    // A refresh of what is known is not refused.
    server.post_alerts(&alerts(0..10));
    assert_eq!(server.metric("alertmanager_alerts_limited_total"), Some(5.0));
    assert_eq!(held(&server), 11);
}

#[test]
fn silences_above_the_limits_are_refused_and_those_that_are_there_can_be_changed() {
    let dir = quiet();
    let server = Server::start(dir.path(), &["--silences.max-silences=2", "--silences.max-silence-size-bytes=300"]);
    let post = |silence: &Value| server.post("/api/v2/silences", silence).unwrap();
    let (code, text) = post(&silence("a"));
    assert_eq!(code, 200);
    let id = serde_json::from_str::<Value>(&text).unwrap()["silenceID"].clone();
    assert_eq!(post(&silence(&"x".repeat(400))).0, 400);
    assert_eq!(post(&silence("b")).0, 200);
    let (code, text) = post(&silence("c"));
    assert!(code == 400 && text.contains("2"), "{code} {text}");
    // As clients do it that prolong a silence: all of it comes back, with a later end.
    let mut longer = server.get(&format!("/api/v2/silence/{}", id.as_str().unwrap()));
    longer["endsAt"] = "2099-06-01T00:00:00Z".into();
    assert_eq!(post(&longer).0, 200);
    assert_eq!(server.get("/api/v2/silences").as_array().unwrap().len(), 2);
}

#[test]
fn a_body_that_is_too_large_is_refused_by_its_length_or_when_it_grows_too_large() {
    let dir = quiet();
    let server = Server::start(dir.path(), &[]);
    let before = memory(&server);
    // By its word: nothing of it is read.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n")
        .unwrap();
    assert_eq!(status(&mut stream, Duration::from_secs(10)).unwrap(), 413);
    // Without a word, by what comes. The connection may be closed while more is sent.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let piece = vec![b' '; 1 << 20];
    for _ in 0..40 {
        let sent = write!(stream, "{:x}\r\n", piece.len()).and_then(|()| stream.write_all(&piece));
        if sent.and_then(|()| stream.write_all(b"\r\n")).is_err() {
            break;
        }
    }
    assert_eq!(status(&mut stream, Duration::from_secs(10)).unwrap(), 413);
    assert_eq!(server.metric("alertmanager_http_limit_reached_total{limit=\"body_size\"}"), Some(2.0));
    assert!(memory(&server) < before + 100.0, "{before} MiB before, {} after", memory(&server));
}

#[test]
fn many_large_bodies_at_once_take_bounded_memory() {
    let dir = quiet();
    let server = Server::start(dir.path(), &[]);
    // Each claims 30 MiB and stays unfinished; four have room.
    let mut streams: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let piece = vec![b' '; 1 << 20];
    for stream in &mut streams {
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(
            stream,
            "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            30 << 20
        )
        .unwrap();
        for _ in 0..29 {
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
    }
    let refused =
        streams.iter_mut().map(|s| status(s, Duration::from_millis(300))).filter(|s| matches!(s, Ok(503))).count();
    assert!((4..=6).contains(&refused), "{refused} of 10 were turned away");
    assert!(memory(&server) < 400.0, "{} MiB", memory(&server));
    // Small ones go on meanwhile.
    server.post_alerts(&json!([{"labels": {"alertname": "Small"}}]));
    assert!(server.metric("alertmanager_http_limit_reached_total{limit=\"bodies_size\"}").unwrap() >= 4.0);
}

#[test]
fn heads_and_nesting_that_are_too_large_are_refused() {
    let dir = quiet();
    let server = Server::start(dir.path(), &[]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    // The server may answer and close before all of it is sent.
    let _ = write!(stream, "GET /-/ready HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "a".repeat(2 << 20));
    assert_eq!(status(&mut stream, Duration::from_secs(10)).unwrap(), 431);
    let deep = format!("[{{\"labels\":{}1{}}}]", "[".repeat(100_000), "]".repeat(100_000));
    let answer = http::request(&server.address, "POST", "/api/v2/alerts", Some(&deep)).unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(server.text("/-/ready"), "OK");
}

#[test]
fn at_the_limit_of_connections_new_ones_wait_while_notifications_go_on() {
    let hook = Hook::start();
    let dir = dir_with(&config(&hook));
    let web = format!("127.0.0.1:{}", ring::free_ports(1)[0]);
    // Soft and hard limit: it cannot be raised. Clients get half of it.
    let mut command = vec!["sh".to_owned(), "-c".to_owned(), "ulimit -n 80; exec \"$@\"".to_owned(), "sh".to_owned()];
    command.extend(ring::command(dir.path(), "n", &web));
    command.push("--cluster.listen-address=".to_owned());
    let node = Node::new("n", &web, dir.path(), command);
    node.start();
    wait_for("the server answers", Duration::from_secs(20), || node.get("/api/v2/status"));

    // One that is served first and kept posts the alert when all other places are taken.
    let mut sender = TcpStream::connect(&web).unwrap();
    write!(sender, "GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(status(&mut sender, Duration::from_secs(5)).unwrap(), 200);
    let mut held: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(&web).unwrap()).collect();
    let late = http::request_within(Duration::from_millis(500), &web, "GET", "/-/ready", None);
    assert!(late.is_err(), "it must wait");
    let body = json!([{"labels": {"alertname": "Full"}}]).to_string();
    write!(
        sender,
        "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    hook.wait("the alert is told though no client gets in", |told| (!told.is_empty()).then_some(()));

    held.drain(..40);
    let ready = wait_for("there is room again", Duration::from_secs(10), || node.request("GET", "/-/ready", None).ok());
    assert_eq!(ready.status, 200);
    assert!(node.metric("alertmanager_http_limit_reached_total{limit=\"connections\"}").unwrap() > 0.0);
    assert!(!node.log().contains("Too many open files"), "{}", node.log());
}

#[test]
fn slow_clients_do_not_hold_up_others() {
    let dir = quiet();
    let server = Server::start(dir.path(), &[]);
    let slow: Vec<TcpStream> = (0..200)
        .map(|n| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            let start: &[u8] = match n % 3 {
                0 => b"GET /api/v2/al",
                1 => b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n[",
                _ => b"",
            };
            stream.write_all(start).unwrap();
            stream
        })
        .collect();
    let started = Instant::now();
    for n in 0..20 {
        server.post_alerts(&json!([{"labels": {"alertname": format!("a{n}")}}]));
        assert_eq!(server.text("/-/ready"), "OK");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(slow.len(), 200);
    // They do not hold up the end either.
    let started = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// Takes over a minute; `cargo test --test limits -- --ignored`.
#[test]
#[ignore = "waits for the time limits of a minute"]
fn a_client_that_stalls_for_a_minute_is_given_up() {
    let dir = quiet();
    let server = Server::start(dir.path(), &["--web.get-concurrency=1"]);
    // An answer far larger than what the system buffers.
    let long = "x".repeat(20_000);
    for batch in 0..20 {
        let alerts =
            (0..100).map(|n| json!({"labels": {"alertname": format!("a{batch}-{n}")}, "annotations": {"text": long}}));
        server.post_alerts(&alerts.collect());
    }
    let mut reader = TcpStream::connect(&server.address).unwrap();
    write!(reader, "GET /api/v2/alerts HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut writer = TcpStream::connect(&server.address).unwrap();
    write!(
        writer,
        "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n["
    )
    .unwrap();
    pass(Duration::from_secs(1));
    let ready = || http::request(&server.address, "GET", "/-/ready", None).map_or(0, |answer| answer.status);
    println!("while the reader stalls, another GET gets {}", ready());
    let started = Instant::now();
    assert_eq!(status(&mut writer, Duration::from_secs(90)).unwrap(), 408);
    println!("the body was given up after {:?}", started.elapsed());
    wait_for("the stalled reader's place is free", Duration::from_secs(150), || (ready() == 200).then_some(()));
    println!("the reader was given up after {:?}", started.elapsed());
}

/// Many groups at once with a receiver that hangs: attempts under way are bounded, and another receiver is served.
#[test]
fn a_receiver_that_hangs_holds_up_neither_memory_nor_others() {
    let hook = Hook::start();
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = deaf.local_addr().unwrap();
    // Takes connections and never answers.
    thread::spawn(move || deaf.incoming().map_while(Result::ok).collect::<Vec<_>>());
    let dir = dir_with(&format!(
        "
route:
  receiver: deaf
  group_by: [alertname]
  group_wait: 50ms
  group_interval: 1s
  routes: [{{matchers: [alertname=Heard], receiver: hook}}]
receivers:
- {{name: deaf, webhook_configs: [{{url: 'http://{address}/'}}]}}
- {{name: hook, webhook_configs: [{{url: '{}'}}]}}
",
        hook.url()
    ));
    let server = Server::start(dir.path(), &[]);
    let before = memory(&server);
    for batch in 0..20 {
        server.post_alerts(&(0..100).map(|n| json!({"labels": {"alertname": format!("a{batch}-{n}")}})).collect());
    }
    wait_for("attempts queue up", Duration::from_secs(30), || {
        server.metric("alertmanager_notifications_in_flight_limit_reached_total").filter(|count| *count > 0.0)
    });
    assert!(server.metric("alertmanager_notifications_in_flight").unwrap() <= 64.0);
    server.post_alerts(&json!([{"labels": {"alertname": "Heard"}}]));
    hook.wait("the other receiver is served", |told| (!told.is_empty()).then_some(()));
    assert!(memory(&server) < before + 150.0, "{before} MiB before, {} after", memory(&server));
}
