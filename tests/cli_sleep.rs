//! Processes that are suspended in the middle, as by a computer that sleeps: nothing is lost, nothing is fetched twice,
//! and nobody spins when they go on.
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use common::{Home, Servent, finish, noise, until, within};
use serde_json::Value;

const SIZE: usize = 12 << 20;

/// Longer than a download waits for a source that sends nothing.
const ASLEEP: Duration = Duration::from_secs(9);

fn sleep(time: Duration) {
    std::thread::park_timeout(time);
}

fn download(servent: &Servent) -> Option<Value> {
    let all = servent.get("/api/v1/transfers");
    all.as_array()?.iter().find(|transfer| transfer["direction"] == "down").cloned()
}

/// Both do next to nothing for a while.
fn at_rest(servents: [&Servent; 2]) {
    let before = servents.map(Servent::cpu);
    sleep(Duration::from_secs(2));
    for (servent, before) in servents.iter().zip(before) {
        let used = servent.cpu() - before;
        assert!(used < 60, "it is awake for {used} of 200 hundredths of a second with nothing to do");
    }
}

#[test]
fn whoever_is_suspended_goes_on_where_it_was() {
    let (home_a, home_b) = (Home::new(), Home::new());
    let bytes = noise(SIZE, 21);
    let folder = home_b.folder("shared", &[("long song.ogg", &bytes)]);
    let b = home_b.up(&["--only-listed", "--share", &folder.to_string_lossy()]);
    b.hashed(1);
    home_b.run(&["limits", "--up", "1M"]).expect(0);
    let a = home_a.up(&["--only-listed", "--connect", &b.listen()]);
    a.linked(1);
    home_a.run(&["search", "long song", "--max", "1"]).expect(0);
    let child = home_a.command().args(["get", "1"]).spawn().expect("started");
    let since = |servent: &Servent| servent.get("/api/v1/peers")[0]["since_s"].as_u64();
    let linked = since(&a).expect("a link");
    until("bytes come", || download(&a).filter(|it| it["done"].as_u64() > Some(1 << 20)));
    for asleep in [&a, &b] {
        let before = download(&a).expect("a download")["done"].as_u64();
        asleep.suspend(true);
        sleep(ASLEEP);
        asleep.suspend(false);
        until("it goes on", || download(&a).filter(|it| it["done"].as_u64() > before));
    }
    home_b.run(&["limits", "--up", "off"]).expect(0);
    let done = within(Duration::from_secs(60), "it is done", || download(&a).filter(|it| it["state"] == "done"));
    let ended = finish(child);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(std::fs::read(ended.stdout.trim_end()).expect("there") == bytes);
    let vain = done["received"].as_u64().expect("a number") - SIZE as u64;
    assert!(vain <= 1 << 20, "{vain} bytes in vain: a block under way at most");
    // The link has lived through both.
    assert!(since(&a).is_some_and(|now| now >= linked + ASLEEP.as_secs()), "{}", a.get("/api/v1/peers"));
    at_rest([&a, &b]);
}
