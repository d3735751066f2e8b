//! The gateway example, run as a user runs it: what it reports, what it refuses, and that it leaves nothing
//! behind whatever ends it.

#![cfg(target_os = "linux")]

#[path = "shared/example.rs"]
mod example;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use example::{DEADLINE, eventually, example};

fn gateway() -> Command {
    example("gateway")
}

fn refused(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = gateway().args(arguments).output().expect("the example runs");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(stdout.is_empty() || arguments.contains(&"--port"), "{arguments:?} began before it was refused");
    stderr
}

/// A file of this process; it is removed with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("gateway-{}-{name}", std::process::id());
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn read(&self) -> String {
        fs::read_to_string(&self.0).expect("the gateway wrote it")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The data and the page of a run to the end.
fn report(name: &str, arguments: &[&str]) -> (Value, String) {
    let [json, html] = ["json", "html"].map(|kind| Scratch::new(&format!("{name}.{kind}")));
    let mut command = gateway();
    command.args(arguments).arg("--json").arg(&json.0).arg("--report").arg(&html.0);
    let output = command.output().expect("the example runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_str(&json.read()).expect("the data are JSON"), html.read())
}

fn count(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no count at {path} in {value:#}"))
}

fn seconds(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {path} in {value:#}"))
}

fn sum(value: &Value, path: &str, names: &[&str]) -> u64 {
    names.iter().map(|name| count(value, &format!("{path}/{name}"))).sum()
}

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("no list at {path} in {value:#}"))
}

/// Every order is in one place, and the layers' own books agree.
fn check_books(run: &Value, scheduled: u64) {
    let orders = |name: &str| count(run, &format!("/orders/{name}"));
    assert_eq!(orders("due"), scheduled);
    let failed = ["timed_out", "unreachable", "broken", "unavailable", "banned"];
    assert_eq!(orders("failed"), sum(run, "/orders/failed_by", &failed));
    let refused = sum(run, "/orders/refused_by", &["limiter", "breaker"]);
    let attempted = sum(run, "/orders", &["filled", "declined", "failed"]) + refused;
    assert_eq!(attempted + orders("unsent"), scheduled);
    assert_eq!(orders("filled_in_time") + orders("filled_late"), orders("filled"));
    assert!(orders("saved_by_retry") <= orders("filled") + orders("declined"));
    assert!(orders("failed_again") <= orders("failed"));
    assert!(orders("refused_while_up") <= orders("refused_by/breaker"));
    assert_eq!(
        list(run, "/filled_by_column").iter().filter_map(Value::as_u64).sum::<u64>(),
        orders("filled")
    );
    check_slices(run, refused);
    let sent = count(run, "/sent/attempts");
    assert_eq!(sent - count(run, "/sent/in_vain"), orders("filled") + orders("declined"));
    if run["layers"].is_null() {
        assert_eq!(sent, attempted);
        assert_eq!(refused + orders("saved_by_retry"), 0);
    } else {
        check_layers(&run["layers"], attempted, sent, run);
    }

    let mut state = "closed";
    for entry in list(run, "/timeline").iter().filter(|entry| entry["of"] == "breaker") {
        assert_eq!(entry["from"], state, "the timeline has a gap: {entry}");
        state = entry["to"].as_str().expect("a state has a name");
        assert!(entry["cause"].as_str().is_some_and(|cause| !cause.is_empty()));
    }
    assert_eq!(count(run, "/events_dropped"), 0);
}

/// The slices follow each other without a gap, and together they are the run.
fn check_slices(run: &Value, refused: u64) {
    let slices = list(run, "/slices");
    let all = |name: &str| slices.iter().map(|slice| count(slice, name)).sum::<u64>();
    assert_eq!(all("/filled"), count(run, "/orders/filled"));
    assert_eq!(all("/failed"), count(run, "/orders/failed"));
    assert_eq!(all("/refused"), refused);
    assert_eq!(all("/sent"), count(run, "/sent/attempts"));
    let mut end = 0.0;
    for slice in slices {
        let [from, until] = ["/from", "/until"].map(|edge| seconds(slice, edge));
        assert!(from.total_cmp(&end).is_eq() && until > from, "the slices have a gap: {slice}");
        end = until;
    }
    assert!(end >= seconds(run, "/elapsed"), "the last slice ends before the run");
    if !run["layers"].is_null() {
        for (name, path) in [
            ("limiter: no permit left", "/layers/limiter/refused"),
            ("breaker: open", "/layers/breaker/refused/open"),
            ("breaker: half-open", "/layers/breaker/refused/half_open"),
            ("retry: budget spent", "/layers/retry/stopped/budget"),
            ("retry: deadline near", "/layers/retry/stopped/deadline"),
        ] {
            assert_eq!(all(&format!("/refusals/{name}")), count(run, path), "{name}");
        }
    }
}

/// An attempt is a call or a retry; it pays a permit or is refused one; then the breaker refuses it or it is
/// sent and judged.
fn check_layers(layers: &Value, attempted: u64, sent: u64, run: &Value) {
    let calls = count(layers, "/retry/calls");
    assert_eq!(calls, attempted);
    assert_eq!(calls, count(layers, "/retry/budget/calls"));
    assert_eq!(calls, sum(layers, "/retry", &["succeeded", "failed"]));
    assert_eq!(count(layers, "/retry/succeeded"), sum(run, "/orders", &["filled", "declined"]));
    let reasons = ["exhausted", "not_retryable", "deadline", "budget", "open_circuit"];
    assert_eq!(count(layers, "/retry/failed"), sum(layers, "/retry/stopped", &reasons));
    let buckets = list(layers, "/retry/attempts");
    let of = |bucket: &Value| sum(bucket, "", &["succeeded", "failed"]);
    assert_eq!(calls, buckets.iter().map(of).sum::<u64>());
    let retries = count(layers, "/retry/retries");
    assert_eq!(retries, of(&buckets[1]) + 2 * of(&buckets[2]), "no order has more than three attempts");
    assert_eq!(count(run, "/orders/saved_by_retry"), {
        count(&buckets[1], "/succeeded") + count(&buckets[2], "/succeeded")
    });
    // What was paid for a retry is not given back when the deadline passes before it begins.
    assert!(retries <= count(layers, "/retry/budget/retries"));
    assert_eq!(calls + retries, sum(layers, "/limiter", &["allowed", "refused"]));
    let refused = sum(layers, "/breaker/refused", &["open", "half_open"]);
    assert_eq!(count(layers, "/limiter/allowed"), refused + sent);
    // A hung call that answers after all is in twice: as a failure, and as late.
    let ended = sum(layers, "/breaker", &["success", "failure", "cancelled", "late"]);
    assert_eq!(ended - count(layers, "/breaker/hung"), sent);
}

#[test]
fn the_script_is_survived_better_with_the_stack() {
    // All else must hold each time; these may be turned round by a machine so starved that it misses a fault
    // or the burst, or invents one.
    let better = |what: &Compared| what.lost[0] < what.lost[1] && what.banned > 0 && what.saved > 0;
    let worse: Vec<_> = (0..3).map(|_| both_runs()).take_while(|what| !better(what)).collect();
    assert!(worse.len() < 3, "with the stack and without it: {worse:?}");
}

#[derive(Debug)]
#[allow(dead_code, reason = "shown when the test fails")]
struct Compared {
    /// Seconds, with the stack and without.
    lost: [f64; 2],
    /// Orders that the venue answered with a ban, unprotected.
    banned: u64,
    saved: u64,
}

fn both_runs() -> Compared {
    let (data, page) = report("script", &["--seconds", "3"]);
    let [with, without] = list(&data, "/runs") else { panic!("two runs: {data:#}") };
    check_page(&page, &data);
    assert!(with["layers"].is_object() && without["layers"].is_null());
    for run in [with, without] {
        // For four parts of sixty there are three times as many.
        check_books(run, 3 * 2_000 * 68 / 60);
        assert!(count(run, "/orders/filled") > 0);
        let phases: Vec<_> =
            list(run, "/timeline").iter().filter_map(|entry| entry["phase"].as_str()).collect();
        let faults = ["killed", "stalled", "slow", "flaky", "hiccups"];
        let expected: Vec<_> =
            ["well"].into_iter().chain(faults.into_iter().flat_map(|f| [f, "well"])).collect();
        assert_eq!(phases, expected);
        assert_eq!(list(run, "/timeline").iter().filter(|entry| entry["of"] == "load").count(), 2);
    }
    assert!(count(with, "/layers/breaker/opened/times") >= 1);
    let causes = with["layers"]["breaker"]["opened"]["causes"].as_object();
    assert!(!causes.expect("causes by name").is_empty());
    assert!(count(with, "/orders/refused_by/breaker") > 0);
    // However starved: the limiter leaves room for all that can arrive together.
    assert_eq!(count(with, "/orders/failed_by/banned"), 0);
    Compared {
        lost: [with, without].map(|run| seconds(run, "/lost/failed_attempts")),
        banned: count(without, "/orders/failed_by/banned"),
        saved: count(with, "/orders/saved_by_retry"),
    }
}

/// The page is well-formed, loads nothing, has all its parts, and says what the data say.
fn check_page(page: &str, data: &Value) {
    let tags = tags(page);
    for tag in &tags {
        for load in ["src", "srcset", "href", "xlink:href", "action", "data", "background", "poster"] {
            assert_eq!(tag.attribute(load), None, "it may not load: {tag:?}");
        }
        assert!(!["script", "link", "iframe", "object", "img"].contains(&tag.name), "{tag:?}");
    }
    for load in ["http:", "https:", "url(", "@import", "//"] {
        assert!(!page.contains(load), "it may not name an address: {load}");
    }
    let runs = list(data, "/runs");
    let mut parts = vec!["states", "latency", "percentiles", "refusals", "summary", "details"];
    if runs.len() == 2 {
        parts.push("short");
    }
    for part in parts {
        let found = tags.iter().filter(|tag| tag.name == "section" && tag.attribute("id") == Some(part));
        assert_eq!(found.count(), 1, "section {part}");
    }
    for drawing in tags.iter().filter(|tag| tag.name == "svg" && tag.attribute("aria-hidden").is_none()) {
        assert!(drawing.attribute("aria-label").is_some_and(|label| !label.is_empty()), "{drawing:?}");
    }
    // States and rates of each run, its latency, the refusals, for a wide page and a narrow one.
    let of = |class: &str| {
        let drawing = |tag: &&Tag<'_>| tag.name == "svg" && tag.attribute("class") == Some(class);
        tags.iter().filter(drawing).count()
    };
    for class in ["wide", "narrow"] {
        assert_eq!(of(class), 2 * runs.len() + 1, "{class}");
    }
    assert_eq!(of("curve"), 2);

    let mut compared = 0;
    for tag in &tags {
        let Some(path) = tag.attribute("data-path") else { continue };
        let run = tag.attribute("data-run").and_then(|run| run.parse::<usize>().ok());
        let run = run.and_then(|run| runs.get(run)).unwrap_or_else(|| panic!("{tag:?}: which run?"));
        let shown = tag.attribute("data-value").expect("a figure has a value");
        if path.starts_with("/lost/") {
            let nanos = Duration::from_secs_f64(seconds(run, path)).as_nanos();
            let shown: u128 = shown.parse().expect("nanoseconds");
            assert!(nanos.abs_diff(shown) <= 1, "{path}: {nanos} and {shown}");
        } else if shown.is_empty() {
            assert_eq!(run.pointer(path), None, "{path} is a figure in the data");
            assert_eq!(tag.text, "-");
        } else {
            assert_eq!(shown.parse().ok(), Some(count(run, path)), "{path}");
            if !path.starts_with("/latency_ns/") {
                assert_eq!(tag.text.replace(' ', ""), shown, "{path}");
            }
        }
        compared += 1;
    }
    assert!(compared > 60, "only {compared} figures on the page");
}

/// The beginning of an element, and the text up to the next tag.
#[derive(Debug)]
struct Tag<'p> {
    name: &'p str,
    attributes: Vec<(&'p str, &'p str)>,
    text: &'p str,
}

impl Tag<'_> {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.0 == name).map(|attribute| attribute.1)
    }
}

/// All elements of a page. It is written as XML would have it: each is closed, in order, each attribute is
/// quoted, and no `<`, `>` or `&` stands for itself.
fn tags(page: &str) -> Vec<Tag<'_>> {
    let (mut tags, mut open) = (Vec::new(), Vec::new());
    let page = page.strip_prefix("<!DOCTYPE html>\n").expect("it says what it is");
    for piece in page.trim().split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("a tag has no end: {piece}"));
        assert!(!text.contains('>'), "a > stands for itself: {piece}");
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;"].iter().any(|name| entity.starts_with(name));
            assert!(known, "a & stands for itself: {piece}");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "an element ends that is not the last to begin");
            continue;
        }
        let (body, closed) = tag.strip_suffix('/').map_or((tag, false), |body| (body, true));
        let (name, mut rest) = body.split_once(' ').unwrap_or((body, ""));
        let mut attributes = Vec::new();
        while !rest.is_empty() {
            let (key, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("not quoted: <{tag}>"));
            let (value, after) = value.split_once('"').unwrap_or_else(|| panic!("not quoted: <{tag}>"));
            attributes.push((key, value));
            rest = after.trim_start();
        }
        if !closed {
            open.push(name);
        }
        tags.push(Tag { name, attributes, text });
    }
    assert!(open.is_empty(), "left open: {open:?}");
    tags
}

#[test]
fn a_page_of_a_run_without_a_refusal_says_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address").to_string();
    // One call more than the run makes asks first whether anyone is there.
    let service =
        thread::spawn(move || listener.incoming().take(1 + 4).filter_map(Result::ok).for_each(drop));
    let (data, page) = report("calm", &["--target", &address, "--seconds", "2", "--rate", "2"]);
    service.join().expect("the service ends");
    let refused = sum(&data, "/runs/0/layers/breaker/refused", &["open", "half_open"])
        + count(&data, "/runs/0/layers/limiter/refused");
    assert_eq!(page.contains("No layer refused an attempt in this run."), refused == 0);
    tags(&page);
}

/// A venue to talk to.
struct Venue {
    process: Child,
    port: u16,
}

impl Venue {
    fn start(arguments: &[&str]) -> Self {
        let mut process = gateway()
            .arg("venue")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example runs");
        let mut line = String::new();
        let stdout = process.stdout.as_mut().expect("stdout was piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line of text");
        let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
        Self { process, port: port.expect("its first line names its port") }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a venue listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
        stream
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends an order of one lot; gives the verdict's code.
fn verdict(stream: &mut TcpStream, id: u64) -> u8 {
    let mut order = vec![0, 17, b'O'];
    order.extend(id.to_be_bytes());
    order.extend([0, 0, 0, 1, 0, 0, 0, 1]);
    stream.write_all(&order).expect("the venue reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("the venue answers");
    assert_eq!((&answer[..3], &answer[3..11]), (&[0, 10, b'A'][..], &id.to_be_bytes()[..]));
    answer[11]
}

#[test]
fn an_order_sent_again_is_not_filled_again() {
    let venue = Venue::start(&[]);
    let (mut one, mut other) = (venue.connect(), venue.connect());
    assert_eq!(verdict(&mut one, 7), 0, "filled");
    assert_eq!(verdict(&mut one, 8), 0, "filled");
    assert_eq!(verdict(&mut other, 7), 3, "filled before");
}

#[test]
fn the_venue_bans_whoever_sends_too_much() {
    let venue = Venue::start(&["--limit", "1", "--burst", "5", "--ban", "3600000"]);
    let mut stream = venue.connect();
    let verdicts: Vec<_> = (0..100).map(|id| verdict(&mut stream, id)).collect();
    let banned = verdicts.iter().position(|&verdict| verdict == 4).expect("five at once, one a second");
    assert!(banned >= 5 && verdicts[banned..].iter().all(|&verdict| verdict == 4), "{verdicts:?}");
    assert_eq!(verdict(&mut venue.connect(), 100), 4, "another connection does not help");
}

#[test]
fn a_target_that_goes_away_opens_the_breaker() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address").to_string();
    // The listener ends with the thread.
    let service = thread::spawn(move || listener.incoming().take(50).filter_map(Result::ok).for_each(drop));
    let (data, page) = report("target", &["--target", &address, "--seconds", "2", "--rate", "200"]);
    service.join().expect("the service ends");
    let [run] = list(&data, "/runs") else { panic!("one run: {data:#}") };
    check_page(&page, &data);
    check_books(run, 2 * 200);
    assert!(count(run, "/orders/filled") > 0);
    // Some of the five failures that open it are of one order.
    assert!(count(run, "/layers/breaker/failure") >= 5);
    assert!(count(run, "/orders/failed_by/unreachable") >= 1);
    assert!(count(run, "/layers/retry/retries") >= 1);
    assert!(count(run, "/orders/refused_by/breaker") > 0);
    assert!(count(run, "/layers/breaker/opened/times") >= 1);
}

#[test]
fn bad_arguments_are_named_with_what_is_allowed() {
    for (arguments, expected) in [
        (&["--seconds", "1"][..], "--seconds 1: not a whole number from 2 to 3600"),
        (&["--seconds", "ten"], "--seconds ten: not a whole number from 2 to 3600"),
        (&["--seconds"], "--seconds"),
        (&["--threads", "0"], "--threads 0: not a whole number from 1 to 64"),
        (&["--threads=65"], "--threads 65: not a whole number from 1 to 64"),
        (&["--rate", "-5"], "--rate -5: not a whole number from 1 to 50000"),
        (&["--port", "0"], "--port 0: not a whole number from 1 to 65535"),
        (&["--target", "localhost"], "--target localhost: not HOST:PORT"),
        (&["--target", ":80"], "--target :80: not HOST:PORT"),
        (&["--target", "localhost:0"], "--target localhost:0: not HOST:PORT"),
        (&["--target", "localhost:80", "--port", "80"], "give one of them"),
        (&["--orders"], "--orders"),
        (&["--limit", "5"], "--limit"),
        (&["venue", "--limit", "0"], "--limit 0: not a whole number from 1 to 1000000"),
        (&["venue", "--ban", "soon"], "--ban soon: not a whole number from 1 to 3600000"),
        (&["--fast"], "--fast"),
        (&["quickly"], "quickly"),
        (&["--json", "/nowhere/at/all.json"], "--json /nowhere/at/all.json: cannot be written: "),
        (&["--report", "/nowhere/at/all.html"], "--report /nowhere/at/all.html: cannot be written: "),
        (&["--report", "/"], "--report /: cannot be written: "),
        (&["--report"], "--report"),
        (&["--report", "same", "--json", "same"], "--json and --report name the same file"),
    ] {
        let stderr = refused(arguments);
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_is_no_error() {
    let output = gateway().arg("--help").output().expect("the example runs");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--target HOST:PORT"));
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("a bound listener has an address").port().to_string();
    let stderr = refused(&["--port", &port]);
    assert!(stderr.contains(&format!("--port {port}: the port is in use")), "{stderr}");
}

#[test]
fn a_dead_target_is_refused() {
    // Port 1 belongs to a service that nobody has run for decades.
    let stderr = refused(&["--target", "127.0.0.1:1"]);
    assert!(stderr.contains("--target 127.0.0.1:1: does not answer"), "{stderr}");
}

#[test]
fn a_target_of_another_protocol_gets_no_orders() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address").to_string();
    let service = thread::spawn(move || drop(listener.accept()));
    let stderr = refused(&["--target", &address, "--orders"]);
    service.join().expect("the service ends");
    assert!(stderr.contains("no answer to an order"), "{stderr}");
}

/// A gateway under way, with a venue.
struct Running {
    gateway: Child,
    log: Option<BufReader<ChildStdout>>,
    venue: Pid,
}

impl Running {
    fn start() -> Self {
        let mut gateway = gateway()
            .args(["--seconds", "600"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the example runs");
        let mut log = BufReader::new(gateway.stdout.take().expect("stdout was piped"));
        let mut line = String::new();
        let venue = loop {
            line.clear();
            assert_ne!(
                log.read_line(&mut line).expect("a log of text"),
                0,
                "it ended without naming its venue"
            );
            if let Some((_, rest)) = line.split_once("venue started: pid ") {
                let pid = rest.split(' ').next().and_then(|pid| pid.parse().ok());
                break pid.and_then(Pid::from_raw).expect("the log names the venue's pid");
            }
        };
        assert!(is_venue(venue));
        Self { gateway, log: Some(log), venue }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.gateway)
    }

    fn ended(&mut self) -> ExitStatus {
        eventually("the gateway ends", || self.gateway.try_wait().expect("it is our child"))
    }

    fn left_nothing(&self) {
        eventually("the venue is gone", || (!is_venue(self.venue)).then_some(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

/// Whether the process lives and is a venue; a zombie has no command line any more.
fn is_venue(pid: Pid) -> bool {
    let path = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("cmdline");
    fs::read(path).is_ok_and(|line| line.split(|&byte| byte == 0).any(|word| word == b"venue"))
}

#[test]
fn no_venue_outlives_a_killed_gateway() {
    let mut running = Running::start();
    kill_process(running.pid(), Signal::KILL).expect("it is our child");
    running.ended();
    running.left_nothing();
}

#[test]
fn not_even_a_stopped_venue_outlives_a_killed_gateway() {
    let mut running = Running::start();
    kill_process(running.venue, Signal::STOP).expect("it is ours to stop");
    kill_process(running.pid(), Signal::KILL).expect("it is our child");
    running.ended();
    running.left_nothing();
}

#[test]
fn interrupted_it_cleans_up_and_says_so() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = Running::start();
        // A stopped venue must not keep the gateway from ending either.
        kill_process(running.venue, Signal::STOP).expect("it is ours to stop");
        kill_process(running.pid(), signal).expect("it is our child");
        assert_eq!(running.ended().code(), Some(130), "{signal:?}");
        running.left_nothing();
    }
}

#[test]
fn it_ends_when_nobody_reads_its_output() {
    let mut running = Running::start();
    running.log = None;
    assert!(running.ended().success());
    running.left_nothing();
}
