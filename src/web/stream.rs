//! The event stream: what happens, and, for who asks, snapshots of what has changed since the last second.
//!
//! A reader that is too slow is told how much it missed (`missed`) and asks anew; nothing grows for it. Snapshots are
//! made only while somebody reads, and told only when they differ.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde_json::Value;

use crate::app::view::EventView;
use crate::app::{Error, ErrorCode, Node};
use crate::net::rt;

/// A comment goes out on a silent event stream this often, so that either side notices when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Snapshots are made this often.
const EVERY: Duration = Duration::from_secs(1);

/// Which snapshots a reader wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshots {
    status: bool,
    peers: bool,
    shares: bool,
    searches: bool,
    watches: bool,
}

impl Snapshots {
    /// Reads `status,peers`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut wanted = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "status" => wanted.status = true,
                "peers" => wanted.peers = true,
                "shares" => wanted.shares = true,
                "searches" => wanted.searches = true,
                "watches" => wanted.watches = true,
                _ => {
                    return Err(Error::new(ErrorCode::Usage, format!("there is no snapshot called {name:?}"))
                        .hint("There are status, peers, shares, searches, watches"));
                }
            }
        }
        Ok(wanted)
    }

    fn any(self) -> bool {
        self != Self::default()
    }
}

/// The stream, as its bytes.
pub fn events(node: Arc<Node>, wanted: Snapshots) -> impl Stream<Item = Bytes> + Send {
    let happenings = node.events().map(|event| written(&value(&event)));
    let pulse = futures::stream::unfold((), |()| async {
        rt::sleep(KEEP_ALIVE).await;
        Some((Bytes::from_static(b": still here\n\n"), ()))
    });
    // Some clients tell the page that the stream is open only when a first byte arrives.
    let opening = futures::stream::iter([Bytes::from_static(b": filbert\n\n")]);
    let snapshots = if wanted.any() { snapshots(node, wanted).boxed() } else { futures::stream::pending().boxed() };
    opening.chain(futures::stream::select(happenings, futures::stream::select(snapshots, pulse.boxed())))
}

fn snapshots(node: Arc<Node>, wanted: Snapshots) -> impl Stream<Item = Bytes> + Send {
    let told: [Value; 5] = Default::default();
    futures::stream::unfold((node, told, Duration::ZERO), move |(node, mut told, mut pause)| async move {
        loop {
            rt::sleep(pause).await;
            pause = EVERY;
            let mut news = Vec::new();
            for (at, event) in looked_at(&node, wanted).await.into_iter().enumerate() {
                let Some(event) = event else { continue };
                let event = value(&event);
                let facts = without_clocks(event.clone());
                if facts != told[at] {
                    told[at] = facts;
                    news.extend_from_slice(&written(&event));
                }
            }
            if !news.is_empty() {
                return Some((Bytes::from(news), (node, told, pause)));
            }
        }
    })
}

async fn looked_at(node: &Node, wanted: Snapshots) -> [Option<EventView>; 5] {
    let mut events = [None, None, None, None, None];
    if wanted.status {
        events[0] = Some(EventView::Status(node.status().await));
    }
    if wanted.peers {
        events[1] = Some(EventView::Peers { peers: node.peers().await });
    }
    if wanted.shares {
        events[2] = Some(EventView::Folders { folders: node.shares().await });
    }
    if wanted.searches {
        events[3] = Some(EventView::Searches { searches: node.searches().await });
    }
    if wanted.watches {
        events[4] = Some(EventView::Watches { watches: node.watches().await });
    }
    events
}

/// The same without what changes by itself: that alone is no news.
fn without_clocks(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        for clock in ["uptime_s", "since_s", "elapsed_ms", "asked_ago_s", "next_s"] {
            map.remove(clock);
        }
        for key in ["peers", "searches", "watches"] {
            if let Some(list) = map.get_mut(key).and_then(Value::as_array_mut) {
                list.iter_mut().for_each(|item| *item = without_clocks(item.take()));
            }
        }
    }
    value
}

fn value(event: &EventView) -> Value {
    serde_json::to_value(event).unwrap_or_default()
}

fn written(value: &Value) -> Bytes {
    let name = value.get("event").and_then(Value::as_str).unwrap_or("message");
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn snapshots_are_asked_for_by_name() {
        let some = Snapshots { status: true, shares: true, ..Snapshots::default() };
        assert_eq!(Snapshots::parse("status, shares").expect("known"), some);
        assert_eq!(Snapshots::parse("").expect("none"), Snapshots::default());
        assert_eq!(Snapshots::parse("nonsense").expect_err("unknown").code, ErrorCode::Usage);
    }

    #[test]
    fn clocks_alone_are_no_news() {
        let at = |s: u64| without_clocks(json!({ "peers": [{ "addr": "a", "since_s": s }], "uptime_s": s }));
        assert_eq!(at(1), at(2));
        assert_ne!(at(1), json!({}));
    }
}
