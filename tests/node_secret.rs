//! Links between filberts that are encrypted, and who gets in between.

mod node_support;

use std::net::SocketAddr;

use filbert::net::rt::{self, TcpListener, TcpStream};
use filbert::proto::{Deflate, Encrypt};
use futures::{AsyncReadExt, AsyncWriteExt};
use node_support::{OFFER, Peer, Raw, eventually, run, shutdown, start_with};

const HEADER: &str = "X-Filbert-Noise: XX/25519/ChaChaPoly/BLAKE2s\r\n";

async fn sharing(encrypt: Encrypt) -> Peer {
    start_with(&[("blue train.txt", b"all aboard")], &[], |options| {
        (options.encrypt, options.deflate) = (encrypt, Deflate::Both);
    })
    .await
}

/// A servent that wants to be linked to `to`, which may be somebody in between.
async fn calling(to: SocketAddr, encrypt: Encrypt) -> Peer {
    start_with(&[], &[], |options| {
        (options.encrypt, options.deflate) = (encrypt, Deflate::Both);
        options.connect = vec![to.to_string()];
    })
    .await
}

#[test]
fn links_are_encrypted_when_both_ends_want_it_and_refused_where_one_requires_it() {
    use Encrypt::{Off, Prefer, Require};
    run(async {
        for (a, b, linked, encrypted) in [
            (Off, Prefer, true, false),
            (Prefer, Off, true, false),
            (Prefer, Prefer, true, true),
            (Require, Prefer, true, true),
            (Require, Require, true, true),
            (Require, Off, false, false),
            (Off, Require, false, false),
        ] {
            let a_word = a;
            let (a, b) = (sharing(a).await, start_with(&[], &[], |options| options.encrypt = b).await);
            let answer = b.node.connect(a.addr().to_string()).await;
            assert_eq!(answer.is_ok(), linked, "{a_word:?}: {answer:?}");
            if let Err(error) = &answer {
                assert!(error.to_string().contains("Encrypted links only"), "{error}");
            }
            if linked {
                let link = b.link_to(&a).await;
                assert_eq!((link.encrypted, link.key.is_some()), (encrypted, encrypted));
                if encrypted {
                    assert_eq!(link.key, a.node.status().await.key);
                    eventually("the other end is through too", async || a.node.peers().await.len() == 1).await;
                    assert_eq!(a.node.peers().await[0].key, b.node.status().await.key);
                }
                assert_eq!(b.search("blue train", None, 500).await.0.len(), 1);
            }
            shutdown(vec![a, b]).await;
        }
    });
}

#[test]
fn the_key_is_kept_and_is_the_owners_alone() {
    run(async {
        let a = sharing(Encrypt::Prefer).await;
        let key = a.node.status().await.key;
        assert_eq!(key.as_deref().map(str::len), Some(16));
        let file = a.dir.path().join("home/state/key.json");
        let file = if file.exists() { file } else { find(a.dir.path(), "key.json").expect("it is kept") };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&file).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        a.node.shutdown().await;
        let options = filbert::app::Options { encrypt: Encrypt::Require, ..node_support::options(a.dir.path()) };
        drop(a.node);
        let again = filbert::app::Node::start(options).await.expect("it starts again");
        assert_eq!(again.status().await.key, key);
        again.shutdown().await;
    });
}

fn find(dir: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}

#[test]
fn who_asks_without_the_header_is_told_why_not() {
    run(async {
        let a = sharing(Encrypt::Require).await;
        let mut raw = Raw::dial(a.addr()).await;
        raw.send(OFFER.as_bytes()).await;
        let head = raw.read_head().await;
        assert!(head.starts_with("GNUTELLA/0.6 403 Encrypted links only"), "{head}");
        raw.closed().await;
        // One that takes the offer and then sends what is no Noise, or says nothing of it in the last leg.
        for last in [HEADER, ""] {
            let mut raw = Raw::dial(a.addr()).await;
            raw.send(OFFER.replace("\r\n\r\n", &format!("\r\n{HEADER}\r\n")).as_bytes()).await;
            let head = raw.read_head().await;
            assert!(head.starts_with("GNUTELLA/0.6 200") && head.contains(HEADER), "{head}");
            raw.send(format!("GNUTELLA/0.6 200 OK\r\n{last}\r\n").as_bytes()).await;
            raw.send(&[0, 32]).await;
            raw.send(&[0; 500]).await;
            raw.closed().await;
            assert_eq!(a.node.status().await.neighbours, 0);
        }
        shutdown(vec![a]).await;
    });
}

/// What somebody in between does to the bytes of one direction; `at` is how many came before.
type Meddle = fn(at: usize, bytes: Vec<u8>) -> Vec<u8>;

/// Passes on to `to` what comes, changed by `meddle`, and back what comes from there.
async fn between(to: SocketAddr, meddle: Meddle) -> (SocketAddr, rt::Task<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let task = rt::spawn(async move {
        while let Ok((theirs, _)) = listener.accept().await {
            let Ok(ours) = TcpStream::connect(to).await else { break };
            let there = pass(theirs.clone(), ours.clone(), meddle);
            rt::spawn(async move { futures::future::join(there, pass(ours, theirs, |_, bytes| bytes)).await }).detach();
        }
    });
    (addr, task)
}

async fn pass(mut from: TcpStream, mut to: TcpStream, meddle: Meddle) {
    let (mut at, mut buffer) = (0, [0; 4096]);
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&meddle(at, buffer[..n].to_vec())).await.is_err() {
            break;
        }
        at += n;
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

fn without(bytes: Vec<u8>, line: &str) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(head) => head.replace(line, "").into_bytes(),
        Err(other) => other.into_bytes(),
    }
}

#[test]
fn who_gets_in_between_is_noticed_by_those_who_require_it() {
    run(async {
        let a = sharing(Encrypt::Require).await;
        let meddlers: [(&str, Meddle); 3] = [
            ("strips the offer", |_, bytes| without(bytes, HEADER)),
            ("changes another header", |_, bytes| without(bytes, "Accept-Encoding: deflate\r\n")),
            ("flips a bit behind the handshake", |at, mut bytes| {
                // The legs take less than that, and all of them more than half.
                if at > 400 && !bytes.starts_with(b"GNUTELLA") {
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                }
                bytes
            }),
        ];
        for (what, meddle) in meddlers {
            let (addr, task) = between(a.addr(), meddle).await;
            let b = calling(addr, Encrypt::Require).await;
            eventually("they tried", async || b.counter("dials").await > 0).await;
            rt::sleep(std::time::Duration::from_millis(700)).await;
            assert_eq!((a.node.status().await.neighbours, b.node.status().await.neighbours), (0, 0), "{what}");
            shutdown(vec![b]).await;
            drop(task);
        }
        // One that only listens sees nothing, and those who merely prefer it can be talked out of it: docs/adr/0006.
        let (addr, _task) = between(a.addr(), |_, bytes| bytes).await;
        let b = calling(addr, Encrypt::Require).await;
        eventually("they are linked", async || b.node.status().await.neighbours == 1).await;
        assert_eq!(b.search("blue train", None, 500).await.0.len(), 1);
        shutdown(vec![a, b]).await;
    });
}
