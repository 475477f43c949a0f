//! The face without a terminal: keys and answers in, asks and pictures out.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::ask::{Ask, MagnetOf, Told};
use super::draw::{Paint, Spot, draw, spot};
use super::hits::HITS;
use super::model::{Model, TYPED, View};
use super::{Key, screen};
use crate::app::view::{
    BlocksView, EventView, FindingView, HitView, SearchDone, ShareView, StatusView, TransferView, WatchView,
};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);
/// Wide, with marks, of another direction, deceiving, long.
const NAMES: [&str; 6] = [
    "東京の夜景と富士山の写真集 2024年版 とても長い名前のファイルです.jpg",
    "🎷🎺 Blue Train – live 🚂.flac",
    "שלום עולם blue.mp3",
    "cafe\u{301} blue.txt",
    "blue\x1b[31m\u{202e}gpj.exe",
    "a very long name that goes on and on and on and on and on and on and on and on.txt",
];

fn hit(number: u32, name: &str, content: &str) -> HitView {
    let sha1 = format!("{content:A<32}");
    serde_json::from_value(json!({
        "hit": number, "name": name, "size": 4321, "sha1": sha1, "tth": null, "blake3": null,
        "urn": format!("urn:sha1:{sha1}"), "index": number, "hops": 2, "query_ms": 3,
        "source": {"addr": "192.168.100.200:6346", "servent": "", "vendor": "FLBT", "push": false, "busy": false},
    }))
    .expect("a hit")
}

fn transfer(id: u64, state: &str, reason: &str) -> TransferView {
    serde_json::from_value(json!({
        "id": id, "direction": "down", "name": NAMES[0], "urn": null, "state": state, "done": 50, "size": 200,
        "rate_bps": 1_500_000, "sources": 2, "reason": reason, "eta_s": 61, "next_try_s": null,
        "path": "/d/x", "verified": null, "error": null, "elapsed_ms": 5, "peer": null,
    }))
    .unwrap_or_else(|error| panic!("{error}"))
}

fn status(neighbours: u64, turtle: bool) -> StatusView {
    let mut limits = serde_json::to_value(crate::app::view::SpeedsView::default()).expect("JSON");
    limits["turtle"] = turtle.into();
    serde_json::from_value(json!({
        "version": "0.1.0", "listen": "127.0.0.1:6346", "servent": "", "key": null, "files": 12, "hashed": 12,
        "bytes": 5, "neighbours": neighbours, "leaves": 0, "role": "ultrapeer", "reachable": "no",
        "down_bps": 1_500_000, "up_bps": 0, "limits": limits, "uptime_s": 5, "counters": {}, "warnings": [],
    }))
    .expect("a status")
}

fn done(hits: u64) -> SearchDone {
    SearchDone { event: "done".into(), hits, files: hits, neighbours_asked: 3, elapsed_ms: 2000, explain: Value::Null }
}

/// A model in the middle of the day.
fn busy() -> Model {
    let mut model = Model::new(" --home /x".into());
    model.told(Told::Status(Box::new(status(3, true))));
    type_line(&mut model, "blue");
    let hits = NAMES.iter().zip(1..).map(|(name, n)| hit(n, name, &n.to_string())).collect();
    model.told(Told::Hits(1, hits));
    model.told(Told::Hits(1, vec![hit(7, "other", "2")]));
    model.told(Told::Done(1, Box::new(done(7))));
    model.told(Told::Transfers(vec![
        transfer(1, "downloading", ""),
        transfer(2, "failed", "no source has it any more"),
    ]));
    model
}

fn type_line(model: &mut Model, line: &str) -> Vec<Ask> {
    model.key(Key::Char('/'));
    line.chars().for_each(|c| drop(model.key(Key::Char(c))));
    model.key(Key::Enter)
}

/// The picture, a line a row, and whether there is any colour in it.
fn picture(model: &Model, (width, height): (u16, u16), colour: bool) -> (Vec<String>, bool) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, model, Paint { colour })).expect("drawn");
    let buffer = terminal.backend().buffer();
    let coloured = buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
    let rows = (0..height).map(|y| {
        let mut row = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            row += symbol;
            // The cell behind a wide character is its other half.
            x += u16::try_from(symbol.width().max(1)).expect("narrow");
        }
        row.trim_end().to_owned()
    });
    (rows.collect(), coloured)
}

#[test]
fn the_hits_stand_in_columns_also_of_wide_names() {
    let (rows, _) = picture(&busy(), SMALL, true);
    let expected = [
        "filbert  3 peers  ! not reachable  [turtle]  down 1.4 MiB/s  up 0 B/s  12 files",
        "[1 Search] 2 Saved 3 Transfers 4 Shares 5 Peers 6 Seen 7 Settings 8 Help 9 Check",
        "blue: 7 hits of 6 files, 3 peers asked, 2.0 s",
        "     NAME                                SIZE   SRC  FROM                   HOPS",
        ">    東京の夜景と富士山の写真集 …     4.2 KiB     1  192.168.100.200:6346      2",
        "     🎷🎺 Blue Train – live 🚂.f…     4.2 KiB     2  192.168.100.200:6346      2",
        "     שלום עולם blue.mp3               4.2 KiB     1  192.168.100.200:6346      2",
        "     cafe\u{301} blue.txt                    4.2 KiB     1  192.168.100.200:6346      2",
        "     blue?[31m?gpj.exe                4.2 KiB     1  192.168.100.200:6346      2",
        "     a very long name that goes …     4.2 KiB     1  192.168.100.200:6346      2",
    ];
    for (row, expected) in rows.iter().zip(expected) {
        assert_eq!(row, expected, "{rows:#?}");
    }
    assert!(rows[23].starts_with("/ search  Enter get"), "{}", rows[23]);
    let (rows, _) = picture(&busy(), LARGE, true);
    assert!(
        rows[4].contains(NAMES[0]) && rows[4].ends_with("FLBT      1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        "{}",
        rows[4]
    );
}

#[test]
fn every_view_fits_every_screen_and_says_without_colour_what_colour_says() {
    for view in View::ALL {
        for size in [SMALL, LARGE, (50, 10), (40, 8), (300, 100)] {
            let mut model = busy();
            model.view = view;
            let (coloured, _) = picture(&model, size, true);
            let (plain, colour) = picture(&model, size, false);
            assert!(!colour, "{view:?} has a colour where none may be");
            assert_eq!(plain, coloured, "{view:?}: words may not depend on colours");
            assert!(plain.iter().all(|row| row.width() <= size.0.into()), "{view:?} {size:?}: {plain:#?}");
            assert!(plain[1].contains(&format!("[{} {}]", view.index() + 1, view.name())), "{}", plain[1]);
        }
    }
    let widest = super::draw::HELP.lines().map(UnicodeWidthStr::width).max();
    assert!(widest.is_some_and(|width| width <= SMALL.0.into()), "the help is not cut at 80 columns: {widest:?}");
    let mut model = busy();
    model.view = View::Transfers;
    let (rows, colour) = picture(&model, SMALL, true);
    assert!(colour && rows.iter().any(|row| row.contains("! failed")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("25%") && row.contains("1.4 MiB/s")), "{rows:#?}");
    assert_eq!(picture(&model, (39, 7), true).0[0], "filbert: this terminal is too small");
    assert_eq!(picture(&model, (1, 1), true).0[0], "f");
}

#[test]
fn keys_become_asks() {
    let mut model = busy();
    assert_eq!(model.key(Key::Enter), [Ask::Get(vec!["1".into()])]);
    for key in [Key::Char(' '), Key::Down, Key::Char(' ')] {
        assert_eq!(model.key(key), []);
    }
    assert_eq!(model.key(Key::Enter), [Ask::Get(vec!["1".into(), "3".into()])], "those that are selected");
    assert_eq!(model.key(Key::Home), []);
    assert_eq!(model.key(Key::Enter), [Ask::Get(vec!["1".into()])], "they are selected no more");
    model.key(Key::End);
    assert_eq!(model.key(Key::Char('m')), [Ask::Magnet(MagnetOf::Hit(6))]);
    assert_eq!(model.told(Told::Magnet("magnet:?x".into())), [Ask::Copy("magnet:?x".into())]);
    assert_eq!(model.key(Key::Char('t')), [Ask::Turtle(false)], "it is on");
    assert_eq!(model.key(Key::Char('3')), [Ask::Look(View::Transfers)]);
    assert_eq!(model.key(Key::Char('m')), [Ask::Magnet(MagnetOf::Transfer(1))]);
    assert_eq!(model.key(Key::Char('p')), [Ask::Transfer(1, "pause")], "what goes on stands before what is over");
    model.told(Told::Event(Box::new(EventView::Transfer(transfer(1, "paused", "")))));
    assert_eq!(model.key(Key::Char('p')), [Ask::Transfer(1, "resume")]);
    assert_eq!(model.key(Key::Char('x')), []);
    assert_eq!(model.key(Key::Char('n')), [], "anything but y is a no");
    model.key(Key::Char('x'));
    assert_eq!(model.key(Key::Char('y')), [Ask::Transfer(1, "cancel")]);
    assert_eq!(model.key(Key::BackTab), [Ask::Look(View::Watches)]);
    assert_eq!(model.key(Key::BackTab), [Ask::Look(View::Search)]);
    assert_eq!(model.key(Key::BackTab), [Ask::Look(View::Check), Ask::Doctor]);
    assert_eq!(model.key(Key::Tab), [Ask::Look(View::Search)]);
    assert_eq!(model.key(Key::Char('b')), [Ask::EndSearch, Ask::Browse(2, "6".into())]);
    assert_eq!(model.key(Key::Char('q')), [Ask::Quit]);
    model.key(Key::Char('/'));
    assert_eq!(model.key(Key::Char('q')), [], "a letter while one types");
    assert_eq!(model.key(Key::Ctrl('c')), [Ask::Quit]);
}

#[test]
fn a_typed_line_is_a_search_or_a_link_and_is_bounded() {
    let mut model = Model::new(String::new());
    assert_eq!(type_line(&mut model, " blue q "), [Ask::EndSearch, Ask::Search(1, "blue q".into())]);
    assert_eq!(type_line(&mut model, "magnet:?xt=x"), [Ask::Get(vec!["magnet:?xt=x".into()])]);
    assert_eq!(type_line(&mut model, "  "), []);
    model.key(Key::Char('5'));
    model.key(Key::Char('c'));
    "h:1!".chars().for_each(|c| drop(model.key(Key::Char(c))));
    model.key(Key::Backspace);
    assert_eq!(model.key(Key::Enter), [Ask::Connect("h:1".into())]);
    model.pasted(&"x\x1b".repeat(TYPED));
    assert_eq!(model.input.as_ref().map(|input| input.text.clone()), Some("x".repeat(TYPED)));
    model.key(Key::Char('y'));
    assert_eq!(model.input.as_ref().map(|input| input.text.len()), Some(TYPED));
    let (rows, _) = picture(&model, SMALL, true);
    assert_eq!(rows[22].width(), 79, "the end of what is typed is seen, with room for the cursor");
    assert_eq!(model.key(Key::Esc), []);
    assert_eq!(model.input, None);
}

#[test]
fn what_a_stranger_sends_is_bounded_and_what_is_old_is_not_shown() {
    let mut model = Model::new(String::new());
    type_line(&mut model, "one");
    let many = |from: u32| (from..from + 1000).map(|n| hit(n, "n", &n.to_string())).collect::<Vec<_>>();
    for part in 0..12 {
        model.told(Told::Hits(1, many(part * 1000)));
    }
    assert_eq!((model.hits.rows.len(), model.hits.beyond), (HITS, 2000));
    assert!(picture(&model, SMALL, true).0[2].contains("2000 more are not shown"));
    type_line(&mut model, "two");
    model.told(Told::Hits(1, many(0)));
    model.told(Told::Done(1, Box::new(done(1))));
    assert!(model.hits.rows.is_empty() && model.hits.running, "hits of the search before");
    model.told(Told::Broken(2, "cannot search: no\x1b neighbours yet".into()));
    model.told(Told::Status(Box::new(status(0, false))));
    let (rows, _) = picture(&model, SMALL, true);
    assert!(rows.iter().any(|row| row.contains("Same network: run filbert there")), "never an empty table: {rows:#?}");
    assert!(rows[22].starts_with("! cannot search: no? neighbours"), "{rows:#?}");
    model.told(Told::Gone);
    assert!(picture(&model, SMALL, true).0[0].starts_with("! the servent does not answer"));
}

#[test]
fn filters_hide_and_count_and_orders_keep_the_cursor_on_its_row() {
    let mut model = busy();
    model.key(Key::Char('f'));
    "blue .F".chars().for_each(|c| drop(model.key(Key::Char(c))));
    let (rows, _) = picture(&model, SMALL, true);
    assert_eq!(rows[3], "5 hidden (filter blue .F); Esc shows all", "it works while it is typed: {rows:#?}");
    assert!(rows[5].contains("🎷🎺 Blue Train") && rows[6].is_empty(), "{rows:#?}");
    assert_eq!(model.key(Key::Enter), []);
    assert_eq!(model.key(Key::Enter), [Ask::Get(vec!["2".into()])], "the row that is seen, not the first of all");
    assert_eq!(model.key(Key::Esc), []);
    assert_eq!(model.rows(), 6);
    model.key(Key::Home);
    assert_eq!(model.key(Key::Enter), [Ask::Get(vec!["1".into()])]);
    // Most sources first: what the cursor stands on moves, and the cursor with it.
    model.key(Key::Char('o'));
    let (rows, _) = picture(&model, SMALL, true);
    assert!(rows[2].ends_with("most sources first") && rows[4].contains("Blue Train"), "{rows:#?}");
    assert!(rows[5].starts_with("> ") && rows[5].contains("東京"), "{rows:#?}");
    (0..4).for_each(|_| drop(model.key(Key::Char('o'))));
    assert_eq!(model.at(), 0, "as they came, again");
    // Kinds and free slots.
    model.key(Key::Char('c'));
    assert_eq!((model.rows(), model.hidden()), (2, 4), "two of them are audio");
    assert!(picture(&model, SMALL, true).0[3].contains("4 hidden (only audio)"));
    model.key(Key::Char('a'));
    assert_eq!(model.rows(), 2, "all have a slot free");
    // What comes meanwhile is filtered too.
    model.told(Told::Hits(1, vec![hit(8, "more.mp3", "8"), hit(9, "more.txt", "9")]));
    assert_eq!((model.rows(), model.hidden()), (3, 5));
    type_line(&mut model, "other words");
    assert_eq!((model.rows(), model.hidden()), (0, 0), "of the search before nothing is left");
    model.told(Told::Hits(2, vec![hit(1, "a.txt", "1")]));
    assert!(picture(&model, SMALL, true).0.iter().any(|row| row.contains("All of it is hidden")));
    model.key(Key::Char('3'));
    model.told(Told::Transfers(vec![
        transfer(1, "downloading", ""),
        transfer(2, "failed", "x"),
        transfer(3, "paused", ""),
    ]));
    (0..3).for_each(|_| drop(model.key(Key::Char('c'))));
    assert_eq!(model.rows(), 2, "under way");
    model.told(Told::Event(Box::new(EventView::Transfer(transfer(1, "done", "")))));
    assert_eq!((model.rows(), model.hidden()), (1, 2));
    assert_eq!(model.key(Key::Char('p')), [Ask::Transfer(3, "resume")]);
    assert_eq!(model.key(Key::Char('R')), [Ask::TransferAll(vec![3], "resume")]);
    assert_eq!(model.key(Key::Char('P')), [], "there is none to pause");
}

#[test]
fn clicks_and_the_wheel_choose_what_is_under_them() {
    let mut model = busy();
    let click = |model: &mut Model, x, y| {
        let on = spot(model, SMALL, (x, y));
        (on, model.clicked(on))
    };
    assert_eq!(click(&mut model, 5, 6), (Some(Spot::Row(2)), vec![]));
    assert_eq!(model.at(), 2);
    assert!(picture(&model, SMALL, true).0[6].starts_with("> "), "the row that was clicked");
    for (x, y) in [(5, 0), (5, 2), (5, 3), (5, 20), (5, 23)] {
        assert_eq!(click(&mut model, x, y).0, None, "{x} {y}");
    }
    model.key(Key::WheelDown);
    assert_eq!(model.at(), 5);
    model.key(Key::WheelUp);
    assert_eq!(model.at(), 2);
    assert_eq!(click(&mut model, 20, 1), (Some(Spot::Tab(View::Transfers)), vec![Ask::Look(View::Transfers)]));
    model.key(Key::Char('/'));
    assert_eq!(click(&mut model, 5, 1).1, [], "what is typed is not lost");
    model.key(Key::Esc);
    assert_eq!(model.key(Key::Char('s')), [Ask::Mouse(false)]);
    assert_eq!(model.key(Key::Char('s')), [Ask::Mouse(true)]);
    // On each screen, in each view, what a click means is what is seen there.
    for size in [SMALL, LARGE, (50, 10)] {
        for at in 0..model.hits.rows.len() {
            model.view = View::Search;
            model.cursor[0] = at;
            let (rows, _) = picture(&model, size, true);
            let y = rows.iter().position(|row| row.starts_with("> ")).expect("a cursor");
            assert_eq!(spot(&model, size, (3, u16::try_from(y).expect("small"))), Some(Spot::Row(at)), "{size:?}");
        }
    }
}

#[test]
fn saved_searches_shares_strangers_and_limits_have_their_keys() {
    let mut model = busy();
    let typed = |model: &mut Model, key: char, words: &str| {
        model.key(Key::Char(key));
        words.chars().for_each(|c| drop(model.key(Key::Char(c))));
        model.key(Key::Enter)
    };
    assert_eq!(model.key(Key::Char('w')), [Ask::Watch("blue".into())], "the search that is seen");
    assert_eq!(model.key(Key::Char('2')), [Ask::Look(View::Watches)]);
    assert_eq!(typed(&mut model, 'n', "rare thing"), [Ask::Watch("rare thing".into())]);
    let watch: WatchView = serde_json::from_value(json!({
        "id": 7, "query": "rare\u{1b} thing", "get": true, "max": 5_000_000, "paused": false, "asked_ago_s": 3,
        "next_s": 61, "hits": 2, "new": 1, "fetched": 1,
    }))
    .expect("a saved search");
    model.told(Told::Watches(vec![watch]));
    let (rows, _) = picture(&model, SMALL, false);
    assert!(rows[4].contains("rare? thing") && rows[4].contains("asks again in"), "{rows:#?}");
    assert_eq!(model.key(Key::Char('p')), [Ask::WatchAct(7, "pause")]);
    model.key(Key::Char('x'));
    assert_eq!(model.key(Key::Char('y')), [Ask::Unwatch(7)]);
    assert_eq!(model.key(Key::Enter), [Ask::EndSearch, Ask::WatchHits(2, 7)]);
    model.told(Told::Kept(2, vec![hit(1, "one.txt", "1"), hit(2, "two.txt", "2")]));
    assert_eq!(model.key(Key::Enter), [Ask::Get(vec![format!("urn:sha1:{:A<32}", "2")])], "by content, the latest");
    assert!(matches!(&model.key(Key::Char('m'))[..], [Ask::Copy(link)] if link.starts_with("magnet:?xt=urn:sha1:2A")));
    model.key(Key::Char('4'));
    assert_eq!(typed(&mut model, 'n', "~/Music"), [Ask::Preview("~/Music".into())]);
    let preview: ShareView = serde_json::from_value(json!({
        "path": "/home/me/Music", "files": 12, "bytes": 4096, "hashed": 0, "state": "preview", "this_run_only": false,
        "exclude": [], "unhashed": 12, "unhashed_bytes": 4096, "skipped": {}, "left_out": [], "warnings": [],
        "looks_private": ["id_rsa", "b"], "eta_s": null,
    }))
    .expect("a preview");
    model.told(Told::Preview(Box::new(preview)));
    let (rows, _) = picture(&model, LARGE, false);
    assert!(
        rows[48].starts_with("Share 12 files, 4.0 KiB, of /home/me/Music? Looks private: id_rsa and 1 more. [y/N]"),
        "{rows:#?}"
    );
    assert_eq!(model.key(Key::Char('y')), [Ask::Share("/home/me/Music".into())]);
    let listen = "127.0.0.1:6346".to_owned();
    assert_eq!(model.key(Key::Char('6')), [Ask::Look(View::Strangers), Ask::Strangers(listen)]);
    model.told(Told::Strangers(Ok(vec![hit(1, "seen.txt", "1")])));
    assert!(picture(&model, SMALL, false).0[2].contains("What strangers see: 1 file, read over the wire"));
    model.told(Told::Strangers(Err("refused".into())));
    assert!(picture(&model, SMALL, false).0[4].contains("refused"));
    model.key(Key::Char('7'));
    for (key, name) in [('d', "down"), ('u', "up"), ('e', "peer_up"), ('D', "turtle_down"), ('U', "turtle_up")] {
        assert_eq!(typed(&mut model, key, "500K"), [Ask::Limit(name, "500K".into())]);
    }
}

fn blocks(sources: usize) -> BlocksView {
    let source = |n| {
        json!({
            "addr": format!("10.0.0.{n}:6346"), "active": true, "banned": n == 1, "rate_bps": 2048 * n, "failures": 0,
            "words": "sends",
        })
    };
    serde_json::from_value(json!({
        "size": 10_000, "block_size": 1024, "blocks": 10,
        "runs": [
            {"state": "stored", "blocks": 3, "source": null}, {"state": "filling", "blocks": 1, "source": 0},
            {"state": "asked", "blocks": 2, "source": 1}, {"state": "missing", "blocks": 4, "source": null},
        ],
        "sources": (0..sources).map(source).collect::<Vec<_>>(),
    }))
    .expect("blocks")
}

#[test]
fn the_parts_of_a_download_are_asked_for_one_at_a_time_and_drawn_below_the_rows() {
    let mut model = busy();
    let mut up = transfer(3, "uploading", "");
    up.direction = "up".into();
    model.told(Told::Transfers(vec![transfer(1, "downloading", ""), transfer(2, "downloading", ""), up]));
    model.key(Key::Char('3'));
    model.key(Key::End);
    assert_eq!(model.beat(), [Ask::Look(View::Transfers)], "nobody wants to see them");
    assert_eq!(model.key(Key::Char('b')), [Ask::Parts(1)]);
    let (rows, _) = picture(&model, SMALL, false);
    assert!(rows.iter().any(|row| row.starts_with("── asking for its parts ... ──")), "{rows:#?}");
    // Whoever runs over the rows asks for the next ones only when the first are told.
    assert_eq!(model.key(Key::Up), []);
    assert_eq!(model.told(Told::Parts(1, Some(Box::new(blocks(2))))), [Ask::Parts(2)]);
    assert_eq!(model.told(Told::Parts(2, Some(Box::new(blocks(2))))), []);
    assert_eq!(model.beat(), [Ask::Look(View::Transfers), Ask::Parts(2)]);
    let (rows, _) = picture(&model, SMALL, false);
    let expected = [
        "── 3 of 10 parts there, 1 coming in, 2 asked for, 4 missing; each 1.0 KiB ──────",
        "███122····",
        "█ there  ▄ some of it  ▒ coming in  1-9 asked of that source  · missing",
        " 1 10.0.0.0:6346                       sends",
        " 2 10.0.0.1:6346            2.0 KiB/s  ! banned: it lied",
    ];
    assert_eq!(rows[17..22], expected, "{rows:#?}");
    // What has no room is counted; the rows keep half of the screen, and clicks mean what is seen.
    model.told(Told::Parts(2, Some(Box::new(blocks(30)))));
    let (rows, _) = picture(&model, SMALL, false);
    assert_eq!(rows[21], "   and 24 more", "{rows:#?}");
    assert!(rows[12].starts_with("── 3 of 10"), "{rows:#?}");
    assert_eq!(spot(&model, SMALL, (5, 6)), Some(Spot::Row(1)));
    assert_eq!(spot(&model, SMALL, (5, 13)), None, "the picture is no row");
    for size in [LARGE, (50, 10), (40, 8), (300, 100)] {
        let (rows, _) = picture(&model, size, false);
        assert!(rows.iter().all(|row| row.width() <= size.0.into()), "{size:?}: {rows:#?}");
        assert!(rows.iter().any(|row| row.starts_with("> ")), "{size:?}: the row of the cursor is seen: {rows:#?}");
    }
    // One that is gone is not asked for again and again, an upload never.
    assert_eq!(model.told(Told::Parts(2, None)), []);
    model.key(Key::Home);
    assert_eq!(model.beat(), [Ask::Look(View::Transfers)]);
    assert!(picture(&model, SMALL, false).0.iter().any(|row| row.starts_with("── an upload")));
    model.key(Key::Char('b'));
    assert!(!picture(&model, SMALL, false).0.iter().any(|row| row.starts_with("──")));
}

#[test]
fn a_whole_folder_is_got_with_the_folders_in_it_after_a_question() {
    let mut model = busy();
    let in_folder = |number, name: &str, folder: &str| {
        let mut hit = hit(number, name, &number.to_string());
        hit.folder = folder.into();
        hit
    };
    model.key(Key::Char('F'));
    assert!(picture(&model, SMALL, false).0[22].starts_with("! it is in no folder that is known"));
    model.key(Key::Char('b'));
    let serial = model.hits.serial;
    model.told(Told::Hits(
        serial,
        vec![
            in_folder(1, "1.ogg", "Blue\u{1b}"),
            in_folder(2, "2.ogg", "Blue\u{1b}/Live"),
            in_folder(3, "3.ogg", "Bluebells"),
            in_folder(4, "4.ogg", ""),
        ],
    ));
    assert_eq!(model.key(Key::Char('F')), []);
    let (rows, _) = picture(&model, SMALL, false);
    assert!(rows[22].starts_with("Get 2 files, 8.4 KiB, of Blue?? [y/N]"), "{rows:#?}");
    assert_eq!(model.key(Key::Char('y')), [Ask::GetFolder(vec!["1".into(), "2".into()])]);
    model.key(Key::Down);
    model.key(Key::Char('F'));
    assert_eq!(model.key(Key::Char('y')), [Ask::GetFolder(vec!["2".into()])]);
    let many = (10..).take(super::keys::FOLDER).map(|n| in_folder(n, "n", "Bluebells")).collect();
    model.told(Told::Hits(serial, many));
    model.key(Key::Down);
    assert_eq!(model.key(Key::Char('F')), []);
    assert!(model.input.is_none() && picture(&model, LARGE, false).0[48].contains("1001 files are in Bluebells"));
}

#[test]
fn what_is_wrong_is_told_with_what_to_do_and_looked_for_when_asked() {
    let mut model = busy();
    assert_eq!(model.key(Key::Char('9')), [Ask::Look(View::Check), Ask::Doctor]);
    assert!(picture(&model, SMALL, false).0[2].starts_with("Is all well? looking ..."));
    assert_eq!(model.beat(), [Ask::Look(View::Check)], "it takes a while, so not each second");
    let finding = |check: &str, state: &str, what: &str, fix: Option<&str>| FindingView {
        check: check.into(),
        state: state.into(),
        what: what.into(),
        fix: fix.map(str::to_owned),
    };
    let long = "port 6346 is taken by\u{1b} somebody else, so that nobody who knows this address finds anything there";
    model.told(Told::Doctor(Ok(vec![
        finding("servent", "ok", "filbert 0.1.0 runs", None),
        finding("port", "problem", long, Some("name another: filbert up --listen 0.0.0.0:6347")),
    ])));
    model.key(Key::Down);
    let (rows, _) = picture(&model, SMALL, false);
    assert_eq!(rows[2], "Is all well? 1 problem, no notes");
    assert!(rows[4].starts_with("  ok         servent       filbert 0.1.0 runs"), "{rows:#?}");
    assert!(rows[5].starts_with("> ! problem  port          port 6346 is taken by? somebody"), "{rows:#?}");
    let expected = [
        "── port: problem ───────────────────────────────────────────────────────────────",
        "port 6346 is taken by? somebody else, so that nobody who knows this address",
        "finds anything there",
        "-> name another: filbert up --listen 0.0.0.0:6347",
    ];
    assert_eq!(rows[18..22], expected, "{rows:#?}");
    assert_eq!(model.key(Key::Char('r')), [Ask::Look(View::Check), Ask::Doctor]);
    model.told(Told::Doctor(Err("no answer".into())));
    assert!(picture(&model, SMALL, false).0[2].contains("no answer"));
}

#[test]
fn a_terminal_that_was_not_taken_is_left_alone() {
    // It would write to the terminal of whoever runs the tests.
    screen::give_back();
}
