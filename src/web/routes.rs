//! The route table: what the control API offers, in one place. It drives dispatch, `GET /api/v1`, and the
//! test that every route refuses a stranger.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Future, FutureExt, StreamExt};
use hyper::Method;
use hyper::header::{HeaderMap, IF_RANGE, RANGE};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answer::{self, Answer};
use super::serve::Context;
use super::uri;
use crate::app::view::SearchLine;
use crate::app::{
    Error, ErrorCode, GetRequest, MagnetRequest, SearchRequest, ShareRequest, SpeedsRequest, WatchRequest,
};
use crate::net::rt;
use crate::transfer::play;

/// A comment goes out on a silent event stream this often, so that either side notices when the other is gone.
const EVENTS_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A call that passed the guards.
pub struct Call {
    pub(super) context: Arc<Context>,
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

type Reply = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// One route.
pub struct Route {
    /// `GET`, `POST` ...
    pub method: Method,
    /// With `{name}` for a segment that varies.
    pub path: &'static str,
    /// In a sentence.
    pub what: &'static str,
    /// Whether it needs the token.
    pub access: Access,
    answer: fn(Call) -> Reply,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone on this machine.
    Open,
    /// Who has the token.
    Token,
    /// Who has the address itself, a key in it: a player can send no token.
    Key,
}

/// What a path led to.
pub enum Found {
    /// This route, with the values of its `{...}` segments.
    Route(&'static Route, Vec<String>),
    /// The path exists, but not with this method.
    WrongMethod,
    /// There is no such path.
    Nothing,
}

macro_rules! routes {
    ($($access:ident $method:ident $path:literal $handler:ident $what:literal;)*) => {
        /// All routes, in the order in which they are listed.
        pub static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            what: $what,
            access: Access::$access,
            answer: |call| $handler(call).boxed(),
        }),*];
    };
}

routes! {
    Open  GET    "/healthz" health "Says ok while the servent runs.";
    Token GET    "/api/v1" list "This list.";
    Token GET    "/api/v1/status" status "One line about everything.";
    Token GET    "/api/v1/doctor" doctor "What is wrong, each with its fix.";
    Token GET    "/api/v1/config" config "Settings with the place each came from.";
    Token GET    "/api/v1/shares" shares "Shared folders.";
    Token POST   "/api/v1/shares" share "Shares a folder: {path, i_mean_it?}.";
    Token DELETE "/api/v1/shares" unshare "Stops sharing a folder: ?path=.";
    Token GET    "/api/v1/peers" peers "Connected peers.";
    Token POST   "/api/v1/peers" connect "Connects to a host: {host}.";
    Token DELETE "/api/v1/peers/{addr}" disconnect "Closes the link to a peer.";
    Token PUT    "/api/v1/neighbours" set_neighbours "Sets the size of the neighbour set: {neighbours}.";
    Token GET    "/api/v1/limits" limits "How fast files may come and go.";
    Token PUT    "/api/v1/limits" set_limits "Changes that for this run: {down?, up?, peer_up?, turtle?, turtle_down?, turtle_up?}; speeds are texts: 500K, 0, off.";
    Token GET    "/api/v1/hosts" hosts "Hosts that we know of.";
    Token POST   "/api/v1/hosts" import_hosts "Adds hosts to those that we know of: {hosts: [...]}.";
    Token GET    "/api/v1/searches" searches "Searches of this run.";
    Token POST   "/api/v1/searches" search "Asks the network: {query, ttl?, wait_ms?, max?}.";
    Token POST   "/api/v1/browse" browse "Lists what a host shares, as the hits of a search: {host}.";
    Token GET    "/api/v1/searches/{id}" search_state "A search.";
    Token DELETE "/api/v1/searches/{id}" end_search "Ends a search.";
    Token GET    "/api/v1/searches/{id}/hits" hits "Its hits so far; ?follow=1: a line each, with those to come.";
    Token GET    "/api/v1/watches" watches "Saved searches.";
    Token POST   "/api/v1/watches" watch "Saves a search: {query, get?, max?}; max is a text: 100M.";
    Token DELETE "/api/v1/watches/{id}" unwatch "Removes a saved search.";
    Token GET    "/api/v1/watches/{id}/hits" watch_hits "The latest hits of a saved search, oldest first.";
    Token POST   "/api/v1/watches/{id}/pause" pause_watch "Lets a saved search ask no more.";
    Token POST   "/api/v1/watches/{id}/resume" resume_watch "Lets it ask again.";
    Token POST   "/api/v1/watches/{id}/read" watch_looked_at "Its hits so far are not new any more.";
    Token GET    "/api/v1/transfers" transfers "Downloads and uploads.";
    Token POST   "/api/v1/transfers" get "Starts a download: {what, dir?, name?, on_exists?, priority?, template?}.";
    Token GET    "/api/v1/transfers/{id}" transfer "A transfer; ?follow=1: a line at each change, to the end.";
    Token DELETE "/api/v1/transfers/{id}" cancel "Cancels a download and removes its partial file.";
    Token POST   "/api/v1/transfers/{id}/pause" pause "Pauses a download.";
    Token POST   "/api/v1/transfers/{id}/resume" resume "Goes on with a paused download.";
    Token POST   "/api/v1/transfers/{id}/cancel" cancel "Cancels a download and removes its partial file.";
    Token POST   "/api/v1/transfers/{id}/retry" retry "Tries a waiting or failed download now.";
    Token POST   "/api/v1/transfers/{id}/priority" prioritise "Which download goes first among those that wait: {priority: high|normal|low}.";
    Token POST   "/api/v1/transfers/{id}/play" play "Fetches a download front first, for a player: {url}.";
    Key   GET    "/play/{id}/{key}/{name}" played "A file, while it is fetched and afterwards; ranges.";
    Key   HEAD   "/play/{id}/{key}/{name}" played_head "The same, without the bytes.";
    Token GET    "/api/v1/magnet" magnet "A magnet link: ?what= a hit's number, a urn or the path of a shared file; ?transfer= a download.";
    Token GET    "/api/v1/events" events "What happens from now on, as server-sent events.";
    Token POST   "/api/v1/shutdown" shutdown "Stops the servent.";
}

/// Finds the route of a request.
pub fn find(method: &Method, path: &str) -> Found {
    let mut found = Found::Nothing;
    for route in ROUTES {
        if let Some(values) = matched(route.path, path) {
            if route.method == *method {
                return Found::Route(route, values);
            }
            found = Found::WrongMethod;
        }
    }
    found
}

impl Route {
    pub(super) fn call(&self, call: Call) -> Reply {
        (self.answer)(call)
    }
}

/// The values of the `{...}` segments, if `path` has the shape of `pattern`.
fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut values = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(values),
            (Some(name), Some(value)) if name.starts_with('{') => {
                values.push(uri::unescape(value).filter(|value| !value.is_empty())?);
            }
            (Some(name), Some(value)) if name == value => {}
            _ => return None,
        }
    }
}

impl Call {
    /// The body, read as JSON.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::new(ErrorCode::Usage, format!("the body is not what this route takes: {error}")))
    }

    /// The `{id}` in the path.
    fn id(&self) -> Result<u64, Error> {
        let text = self.path.first().map_or("", String::as_str);
        text.parse().map_err(|_| Error::new(ErrorCode::Usage, format!("{text:?} is no number")))
    }

    fn follows(&self) -> bool {
        self.query.get("follow").is_some_and(|value| value != "0")
    }
}

async fn health(_: Call) -> Result<Answer, Error> {
    Ok(answer::text("ok\n"))
}

async fn list(_: Call) -> Result<Answer, Error> {
    let routes: Vec<_> = ROUTES
        .iter()
        .map(|route| json!({ "method": route.method.as_str(), "path": route.path, "what": route.what }))
        .collect();
    Ok(answer::value(&json!({ "version": env!("CARGO_PKG_VERSION"), "routes": routes })))
}

async fn status(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.status().await))
}

async fn doctor(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.doctor().await))
}

async fn config(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.settings))
}

async fn shares(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.shares().await))
}

async fn share(call: Call) -> Result<Answer, Error> {
    let request: ShareRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.share(request).await?))
}

async fn unshare(call: Call) -> Result<Answer, Error> {
    let path = call.query.get("path").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| Error::new(ErrorCode::Usage, "the path of the folder is missing: ?path="))?;
    call.context.node.unshare(path.into()).await?;
    Ok(answer::value(&json!({ "unshared": path })))
}

async fn peers(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.peers().await))
}

async fn connect(call: Call) -> Result<Answer, Error> {
    #[derive(Deserialize)]
    struct Host {
        host: String,
    }
    let Host { host } = call.json()?;
    Ok(answer::with_status(201, &call.context.node.connect(host).await?))
}

async fn disconnect(call: Call) -> Result<Answer, Error> {
    let addr = call.path.first().cloned().unwrap_or_default();
    call.context.node.disconnect(addr.clone()).await?;
    Ok(answer::value(&json!({ "disconnected": addr })))
}

async fn set_neighbours(call: Call) -> Result<Answer, Error> {
    #[derive(Deserialize)]
    struct Neighbours {
        neighbours: usize,
    }
    let Neighbours { neighbours } = call.json()?;
    call.context.node.set_neighbours(neighbours).await?;
    Ok(answer::value(&json!({ "neighbours": neighbours })))
}

async fn limits(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.limits()))
}

async fn set_limits(call: Call) -> Result<Answer, Error> {
    let change: SpeedsRequest = call.json()?;
    Ok(answer::value(&call.context.node.set_limits(&change)?))
}

async fn hosts(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.hosts().await))
}

async fn import_hosts(call: Call) -> Result<Answer, Error> {
    #[derive(Deserialize)]
    struct Hosts {
        hosts: Vec<String>,
    }
    let Hosts { hosts } = call.json()?;
    Ok(answer::value(&json!({ "added": call.context.node.import_hosts(hosts).await? })))
}

async fn searches(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.searches().await))
}

async fn search(call: Call) -> Result<Answer, Error> {
    let request: SearchRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.search(request).await?))
}

async fn browse(call: Call) -> Result<Answer, Error> {
    #[derive(Deserialize)]
    struct Host {
        host: String,
    }
    let Host { host } = call.json()?;
    Ok(answer::with_status(201, &call.context.node.browse(host).await?))
}

async fn search_state(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    match call.context.node.searches().await.into_iter().find(|search| search.id == id) {
        Some(search) => Ok(answer::value(&search)),
        None => Err(Error::new(ErrorCode::NotFound, format!("there is no search {id} in this run"))),
    }
}

async fn end_search(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    call.context.node.end_search(id).await?;
    Ok(answer::value(&json!({ "ended": id })))
}

async fn hits(call: Call) -> Result<Answer, Error> {
    let mut lines = call.context.node.hits(call.id()?).await?;
    if call.follows() {
        return Ok(answer::lines(lines.take_until(call.context.stopped())));
    }
    let mut hits = Vec::new();
    while let Some(Some(SearchLine::Hit(hit))) = lines.next().now_or_never() {
        hits.push(hit);
    }
    Ok(answer::value(&hits))
}

async fn watches(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.watches().await))
}

async fn watch(call: Call) -> Result<Answer, Error> {
    let request: WatchRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.watch(request).await?))
}

async fn unwatch(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    call.context.node.unwatch(id).await?;
    Ok(answer::value(&json!({ "removed": id })))
}

async fn watch_hits(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.watch_hits(call.id()?).await?))
}

async fn pause_watch(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.pause_watch(call.id()?, true).await?))
}

async fn resume_watch(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.pause_watch(call.id()?, false).await?))
}

async fn watch_looked_at(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.watch_looked_at(call.id()?).await?))
}

async fn transfers(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.transfers().await))
}

async fn get(call: Call) -> Result<Answer, Error> {
    let request: GetRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.get(request).await?))
}

async fn transfer(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    if call.follows() {
        let changes = call.context.node.watch_transfer(id).await?;
        return Ok(answer::lines(changes.take_until(call.context.stopped())));
    }
    match call.context.node.transfers().await.into_iter().find(|transfer| transfer.id == id) {
        Some(transfer) => Ok(answer::value(&transfer)),
        None => Err(Error::new(ErrorCode::NotFound, format!("there is no transfer {id}"))),
    }
}

async fn pause(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.pause(call.id()?).await?))
}

async fn resume(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.resume(call.id()?).await?))
}

async fn prioritise(call: Call) -> Result<Answer, Error> {
    #[derive(Deserialize)]
    struct Level {
        priority: String,
    }
    let Level { priority } = call.json()?;
    Ok(answer::value(&call.context.node.prioritise(call.id()?, &priority).await?))
}

async fn cancel(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.cancel(call.id()?).await?))
}

async fn retry(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.retry(call.id()?).await?))
}

async fn play(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    let transfer = call.context.node.expect_player(id).await?;
    let (own, key, name) = (call.context.own, call.context.token.key_of(id), uri::escape(&transfer.name));
    Ok(answer::value(&json!({ "id": id, "url": format!("http://{own}/play/{id}/{key}/{name}") })))
}

async fn played(call: Call) -> Result<Answer, Error> {
    file(call, false).await
}

async fn played_head(call: Call) -> Result<Answer, Error> {
    file(call, true).await
}

async fn file(call: Call, head_only: bool) -> Result<Answer, Error> {
    let mut player = call.context.node.player(call.id()?)?;
    let facts = player.facts().await?;
    let text = |name| call.headers.get(name).and_then(|value| value.to_str().ok());
    let plan = play::plan(&facts, play::Ask { head_only, range: text(RANGE), if_range: text(IF_RANGE) });
    let bytes = player.bytes(plan.bytes).take_until(call.context.stopped());
    Ok(answer::file(plan.status, &plan.headers, bytes))
}

async fn magnet(call: Call) -> Result<Answer, Error> {
    let transfer = call
        .query
        .get("transfer")
        .map(|id| id.parse().map_err(|_| Error::new(ErrorCode::Usage, format!("{id:?} is no number of a transfer"))));
    let what = call.query.get("what").cloned().unwrap_or_default();
    let request = MagnetRequest { what, transfer: transfer.transpose()? };
    // It may look a path up.
    let context = Arc::clone(&call.context);
    let made = rt::spawn_blocking(move || context.node.magnet(&request)).await?;
    Ok(answer::value(&made))
}

async fn events(call: Call) -> Result<Answer, Error> {
    let happenings = call.context.node.events().map(|event| {
        let value = serde_json::to_value(&event).unwrap_or_default();
        let name = value.get("event").and_then(|name| name.as_str()).unwrap_or("message").to_owned();
        Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
    });
    let pulse = futures::stream::unfold((), |()| async {
        rt::sleep(EVENTS_KEEP_ALIVE).await;
        Some((Bytes::from_static(b": still here\n\n"), ()))
    });
    // Some clients tell the page that the stream is open only when a first byte arrives.
    let opening = futures::stream::iter([Bytes::from_static(b": filbert\n\n")]);
    let both = futures::stream::select(happenings, pulse.boxed());
    Ok(answer::events(opening.chain(both).take_until(call.context.stopped())))
}

async fn shutdown(call: Call) -> Result<Answer, Error> {
    call.context.ask_to_stop();
    Ok(answer::with_status(202, &json!({ "stopping": true })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_route() {
        type Leads = Option<(&'static str, &'static [&'static str])>;
        let table: &[(Method, &str, Leads)] = &[
            (Method::GET, "/healthz", Some(("/healthz", &[]))),
            (Method::GET, "/api/v1/searches/7/hits", Some(("/api/v1/searches/{id}/hits", &["7"]))),
            (Method::DELETE, "/api/v1/peers/%5B::1%5D:6346", Some(("/api/v1/peers/{addr}", &["[::1]:6346"]))),
            (Method::GET, "/api/v1/searches/", None),
            (Method::GET, "/api/v1/searches//hits", None),
            (Method::GET, "/api/v1/peers/%zz", None),
            (Method::GET, "/api/v2/status", None),
            (Method::GET, "", None),
        ];
        for (method, path, expected) in table {
            match (find(method, path), expected) {
                (Found::Route(route, values), Some((pattern, wanted))) => {
                    assert_eq!(
                        (route.path, values.as_slice()),
                        (*pattern, wanted.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>().as_slice())
                    );
                }
                (Found::Nothing, None) => {}
                _ => panic!("{method} {path}"),
            }
        }
        assert!(matches!(find(&Method::PATCH, "/api/v1/status"), Found::WrongMethod));
    }

    #[test]
    fn only_healthz_is_open_and_no_route_is_listed_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for route in ROUTES {
            assert_eq!(route.access == Access::Open, route.path == "/healthz", "{}", route.path);
            assert!(seen.insert((route.method.as_str(), route.path)), "{} {} twice", route.method, route.path);
            assert!(route.what.ends_with('.'), "{}", route.what);
        }
    }
}
