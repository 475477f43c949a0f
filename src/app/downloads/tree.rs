//! Fetching a file's tree (THEX): one small answer, on a connection of its own, while blocks come on others.

use std::time::Duration;

use super::Inner;
use super::contact::{connect, host};
use crate::net::fetch::Link;
use crate::net::rt;
use crate::transfer::{Input, Lost, Source, SourceId};
use crate::wire::head::Headers;
use crate::wire::http::Request;
use crate::wire::{Tth, thex};

/// A source has so long for all of it, connection included.
const WITHIN: Duration = Duration::from_secs(30);

/// What a source gave instead of the tree.
enum No {
    /// Nothing: it is busy, has none, or is gone.
    Nothing,
    /// Something that is none.
    Lie(String),
}

/// Asks `from` for the tree of a file of `size` bytes; the answer is for the download's machine.
pub(super) async fn fetch(
    inner: &Inner,
    source: SourceId,
    from: &Source,
    target: String,
    size: u64,
    root: &Tth,
) -> Input {
    let body = match rt::timeout(WITHIN, body(inner, from, target)).await {
        Ok(Ok(body)) => body,
        Ok(Err(No::Lie(words))) => return Input::NoTree { source, lie: Some(words) },
        Ok(Err(No::Nothing)) | Err(_) => return Input::NoTree { source, lie: None },
    };
    let (root, length) = (*root, body.len());
    let decoded = rt::spawn_blocking(move || thex::decode(&body, size, &root)).await;
    match decoded {
        Ok(row) => Input::Tree { source, row: row.into() },
        Err(error) => {
            log::info!("{from} gave no tree in {length} bytes: {error}");
            Input::NoTree { source, lie: Some(error.to_string()) }
        }
    }
}

async fn body(inner: &Inner, from: &Source, target: String) -> Result<Vec<u8>, No> {
    let gone = |how: Lost| {
        log::debug!("{from} gives no tree: {how}");
        No::Nothing
    };
    let mut link = connect(inner, from, || {}).await.map_err(gone)?;
    let headers = Headers::default()
        .with("Host", host(from, &link))
        .with("User-Agent", inner.config.agent.clone())
        .with("Accept", thex::MEDIA_TYPE)
        .with("Connection", "close");
    let head = link.ask(&Request { method: "GET".into(), target, version: (1, 1), headers }).await.map_err(gone)?;
    if head.code != 200 {
        return Err(No::Nothing);
    }
    read(&mut link).await.map_err(gone)?.ok_or_else(|| No::Lie(format!("more than {} bytes", thex::LIMIT)))
}

/// All of the body; `None` when it is longer than any tree.
async fn read(link: &mut Link) -> Result<Option<Vec<u8>>, Lost> {
    let (mut body, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        match link.read(&mut piece).await? {
            0 => return Ok(Some(body)),
            read if body.len() + read > thex::LIMIT => return Ok(None),
            read => body.extend_from_slice(&piece[..read]),
        }
    }
}
