//! When `auto` changes its role, each cause by itself.

use std::net::SocketAddr;

use super::lone::*;
use crate::base::Instant;
use crate::proto::*;
use crate::wire::handshake::Head;
use crate::wire::head::Headers;

const HOUR: u64 = 3600;

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

/// An ultrapeer by choice of its own, with so many slots, up for so long; perhaps somebody has connected to it.
fn auto(slots: usize, up: u64, reached: bool) -> Lone {
    let mut config = Config::new(ME);
    (config.role, config.accept) = (RoleChoice::Auto, Some(slots));
    let mut lone = Lone::with(config);
    lone.sleep_until(at(up));
    if reached {
        lone.handle(Input::Reached { from: addr("10.0.0.9:1").ip() });
    }
    lone
}

/// The network turns out to be large.
fn grows(lone: &mut Lone) {
    let host = |n: u16| (SocketAddr::from(([100, (n / 256) as u8, n as u8, 1], 6346)), HostSource::Cache);
    lone.command(Command::AddHosts((0..600).map(host).collect()));
}

/// The role that it has after so long, and when it was given up.
fn after(lone: &mut Lone, secs: u64) -> (Role, Vec<u64>) {
    let (end, mut changed) = (lone.now.as_micros() / 1_000_000 + secs, Vec::new());
    while lone.now < at(end) {
        let out = lone.sleep_until(lone.now + std::time::Duration::from_secs(1));
        if out.iter().any(|output| matches!(output, Output::Event(Event::RoleChanged(_)))) {
            changed.push(lone.now.as_micros() / 1_000_000);
        }
    }
    (lone.servent.role(), changed)
}

#[test]
fn capacity_uptime_reachability_and_need_decide_each_by_itself() {
    let rows = [
        ("it has all that it takes", 32, HOUR, true, false, Role::Ultrapeer),
        ("not up for an hour", 32, 60, true, false, Role::Leaf),
        ("nobody ever connected to it", 32, HOUR, false, false, Role::Leaf),
        ("few may", 15, HOUR, true, false, Role::Leaf),
        ("a leaf depends on it", 15, 60, false, true, Role::Ultrapeer),
    ];
    for (why, slots, up, reached, has_leaf, role) in rows {
        let mut lone = auto(slots, up, reached);
        let leaf = has_leaf.then(|| leaf(&mut lone));
        assert_eq!(after(&mut lone, 30), (Role::Ultrapeer, vec![]), "{why}: while the network is small");
        grows(&mut lone);
        let since = lone.now.as_micros() / 1_000_000;
        if let Some(leaf) = leaf {
            // It stays as long as it talks.
            for _ in 0..12 {
                lone.frame(leaf, frame(crate::wire::Kind::Ping, 1, 1, 0, bytes::Bytes::new()));
                assert_eq!(after(&mut lone, 55), (Role::Ultrapeer, vec![]), "{why}");
            }
            continue;
        }
        let (is, changed) = after(&mut lone, 601);
        assert_eq!(is, role, "{why}");
        assert!(changed.iter().all(|at| (60..=601).contains(&(at - since))), "{why}: {changed:?} since {since}");
    }
}

#[test]
fn a_leaf_that_no_ultrapeer_takes_becomes_one_but_no_role_lasts_less_than_ten_minutes() {
    let mut lone = auto(32, 60, true);
    grows(&mut lone);
    let (role, changed) = after(&mut lone, 660);
    assert_eq!((role, changed.len()), (Role::Leaf, 1));
    let (role, back) = after(&mut lone, 660);
    assert_eq!((role, back.len()), (Role::Ultrapeer, 1), "it had none for two minutes");
    assert!((600..=602).contains(&(back[0] - changed[0])), "{changed:?}, {back:?}");
}

#[test]
fn who_chose_its_role_keeps_it() {
    for (choice, role) in [(RoleChoice::Ultrapeer, Role::Ultrapeer), (RoleChoice::Leaf, Role::Leaf)] {
        let mut config = Config::new(ME);
        config.role = choice;
        let mut lone = Lone::with(config);
        grows(&mut lone);
        assert_eq!(after(&mut lone, HOUR), (role, vec![]));
    }
}

/// A leaf dials us.
fn leaf(lone: &mut Lone) -> ConnId {
    let conn = ConnId::accepted(1);
    let headers = Headers::default().with("X-Ultrapeer", "False").with("GUID", peer_guid(1).to_string());
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head: Head::Connect { version: (0, 6), headers } });
    lone.handle(Input::Handshake { conn, from: peer_addr(1), head: status(200, "OK") });
    lone.handle(Input::Connected { conn, room: usize::MAX });
    assert_eq!(lone.servent.leaves(), 1);
    conn
}
