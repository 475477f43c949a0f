//! Fetching a file's tree: one small answer, on a connection of its own, while blocks come on others.

use std::time::Duration;

use super::Inner;
use super::contact::{connect, host};
use crate::net::fetch::Link;
use crate::net::rt;
use crate::transfer::{Input, Lost, Source, SourceId};
use crate::wire::head::Headers;
use crate::wire::http::Request;
use crate::wire::{AnyRoot, AnyRow, blake3_tree, thex};

/// A source has so long for all of it, connection included.
const WITHIN: Duration = Duration::from_secs(30);

/// What a source gave instead of the tree.
enum No {
    /// Nothing: it is busy, has none, or is gone.
    Nothing,
    /// Something that is none.
    Lie(String),
}

/// How a tree of one kind comes.
#[derive(Clone, Copy)]
struct Form {
    media_type: &'static str,
    /// The most bytes.
    limit: usize,
}

impl Form {
    fn of(root: AnyRoot) -> Self {
        match root {
            AnyRoot::Tiger(_) => Self { media_type: thex::MEDIA_TYPE, limit: thex::LIMIT },
            AnyRoot::Blake3(_) => Self { media_type: blake3_tree::MEDIA_TYPE, limit: blake3_tree::LIMIT },
        }
    }
}

/// Asks `from` for the tree of a file of `size` bytes; the answer is for the download's machine.
pub(super) async fn fetch(
    inner: &Inner,
    source: SourceId,
    from: &Source,
    target: String,
    size: u64,
    root: AnyRoot,
) -> Input {
    let form = Form::of(root);
    let body = match rt::timeout(WITHIN, body(inner, from, target, form)).await {
        Ok(Ok(body)) => body,
        Ok(Err(No::Lie(words))) => return Input::NoTree { source, lie: Some(words) },
        Ok(Err(No::Nothing)) | Err(_) => return Input::NoTree { source, lie: None },
    };
    let length = body.len();
    let decoded = rt::spawn_blocking(move || match root {
        AnyRoot::Tiger(root) => thex::decode(&body, size, &root).map(|row| AnyRow::Tiger(row.into())),
        AnyRoot::Blake3(root) => blake3_tree::decode(&body, size, &root).map(|row| AnyRow::Blake3(row.into())),
    });
    match decoded.await {
        Ok(row) => Input::Tree { source, row },
        Err(error) => {
            log::info!("{from} gave no tree in {length} bytes: {error}");
            Input::NoTree { source, lie: Some(error.to_string()) }
        }
    }
}

async fn body(inner: &Inner, from: &Source, target: String, form: Form) -> Result<Vec<u8>, No> {
    let gone = |how: Lost| {
        log::debug!("{from} gives no tree: {how}");
        No::Nothing
    };
    let mut link = connect(inner, from, || {}).await.map_err(gone)?;
    let headers = Headers::default()
        .with("Host", host(from, &link))
        .with("User-Agent", inner.config.agent.clone())
        .with("Accept", form.media_type)
        .with("Connection", "close");
    let head = link.ask(&Request { method: "GET".into(), target, version: (1, 1), headers }).await.map_err(gone)?;
    if head.code != 200 {
        return Err(No::Nothing);
    }
    let whole = read(&mut link, form.limit).await.map_err(gone)?;
    whole.ok_or_else(|| No::Lie(format!("more than {} bytes", form.limit)))
}

/// All of the body; `None` when it is longer than any tree.
async fn read(link: &mut Link, limit: usize) -> Result<Option<Vec<u8>>, Lost> {
    let (mut body, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        match link.read(&mut piece).await? {
            0 => return Ok(Some(body)),
            read if body.len() + read > limit => return Ok(None),
            read => body.extend_from_slice(&piece[..read]),
        }
    }
}
