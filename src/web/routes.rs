//! The route table: what the control API offers, in one place. It drives dispatch, `GET /api/v1`, the OpenAPI
//! document, and the test that every route refuses a stranger.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Future, FutureExt};
use hyper::Method;
use hyper::header::HeaderMap;
use schemars::{Schema, SchemaGenerator};

use super::answer::Answer;
use super::bodies::{
    Disconnected, Ended, FileBytes, Followed, Happenings, Host, Hosts, Json, Level, LoginRequest, Neighbours, Nothing,
    PasswordView, Plain, PlayView, Removed, RoutesView, SessionView, Shape, StartedView, Stopping, Unshared,
};
use super::guard::By;
use super::handlers::*;
use super::serve::{Context, Setting};
use super::uri;
use crate::app::view::{
    BlocksView, FindingView, FoldersView, HitView, HostView, ImportView, MagnetView, PeerView, SearchLine, SearchView,
    ShareView, SpeedsView, StatusView, TransferView, WatchView,
};
use crate::app::{BrowseRequest, Error, GetRequest, SearchRequest, ShareRequest, SpeedsRequest, WatchRequest};

/// A call that passed the guards.
pub struct Call {
    pub(super) context: Arc<Context>,
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The other side of the connection: a proxy, perhaps.
    pub(super) from: IpAddr,
    /// How it came in; the token for who needs nothing.
    pub(super) by: By,
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
    /// What may stand behind the `?`: name and meaning.
    pub query: &'static [(&'static str, &'static str)],
    /// The body that it takes.
    pub takes: Body,
    /// The status of success.
    pub status: u16,
    /// The body of success.
    pub gives: Body,
    answer: fn(Call) -> Reply,
}

/// A body, for the OpenAPI document.
#[derive(Clone, Copy)]
pub struct Body {
    /// Media types and the shapes of what comes in them; none for no body.
    pub media: fn(&mut SchemaGenerator) -> Vec<(&'static str, Schema)>,
}

impl Body {
    const fn of<S: Shape>() -> Self {
        Self { media: S::media }
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// Who has the token.
    Token,
    /// Anyone who is let in beyond this machine, where a password is set: it brings the password.
    Login,
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
    ($($access:ident $method:ident $path:literal $([$($name:literal: $meaning:literal),*])?
        $handler:ident($takes:ty) -> $status:literal $gives:ty, $what:literal;)*) => {
        /// All routes, in the order in which they are listed.
        pub static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            what: $what,
            access: Access::$access,
            query: &[$($(($name, $meaning)),*)?],
            takes: Body::of::<$takes>(),
            status: $status,
            gives: Body::of::<$gives>(),
            answer: |call| $handler(call).boxed(),
        }),*];
    };
}

routes! {
    Open GET "/healthz" health(Nothing) -> 200 Plain, "Says ok while the servent runs.";
    Token GET "/metrics" prometheus(Nothing) -> 200 Plain, "Numbers for Prometheus, as text.";
    Token GET "/api/v1" list(Nothing) -> 200 Json<RoutesView>, "This list.";
    Token GET "/api/v1/openapi.json" openapi_document(Nothing) -> 200 Json<serde_json::Value>, "The OpenAPI document of this API.";
    Token POST "/api/v1/session" open_session(Nothing) -> 200 Json<SessionView>, "Gives a browser a cookie in exchange for the token in `Authorization`.";
    Token DELETE "/api/v1/session" close_session(Nothing) -> 200 Json<SessionView>, "Takes the cookie back.";
    Login POST "/api/v1/login" login(Json<LoginRequest>) -> 200 Json<SessionView>, "Gives a browser a cookie in exchange for the password, where the API is open to other machines: {password}.";
    Token POST "/api/v1/password" read_password(Nothing) -> 200 Json<PasswordView>, "Reads the password of this home again, as `filbert password` left it: who came in by the old one is out.";
    Token GET "/api/v1/status" status(Nothing) -> 200 Json<StatusView>, "One line about everything.";
    Token GET "/api/v1/doctor" findings(Nothing) -> 200 Json<Vec<FindingView>>, "What is wrong, each with its fix.";
    Token GET "/api/v1/config" config(Nothing) -> 200 Json<Vec<Setting>>, "Settings with the place each came from.";
    Token GET "/api/v1/limits" limits(Nothing) -> 200 Json<SpeedsView>, "How fast files may come and go.";
    Token PUT "/api/v1/limits" set_limits(Json<SpeedsRequest>) -> 200 Json<SpeedsView>, "Changes that, now and for later runs: {down?, up?, peer_up?, turtle?, turtle_down?, turtle_up?}; speeds are texts: 500K, 0, off.";
    Token GET "/api/v1/shares" shares(Nothing) -> 200 Json<Vec<ShareView>>, "Shared folders.";
    Token POST "/api/v1/shares" share(Json<ShareRequest>) -> 201 Json<ShareView>, "Shares a folder: {path, i_mean_it?, exclude?}.";
    Token DELETE "/api/v1/shares" ["path": "the folder"] unshare(Nothing) -> 200 Json<Unshared>, "Stops sharing a folder: ?path=.";
    Token POST "/api/v1/shares/preview" preview(Json<ShareRequest>) -> 200 Json<ShareView>, "What sharing a folder would share; nothing is shared by it: {path, i_mean_it?, exclude?}.";
    Token GET "/api/v1/folders" ["path": "the folder; without it the user's own"] folders(Nothing) -> 200 Json<FoldersView>, "The folders in a folder of this machine, to look for one to share: ?path=.";
    Token GET "/api/v1/peers" peers(Nothing) -> 200 Json<Vec<PeerView>>, "Connected peers.";
    Token POST "/api/v1/peers" connect(Json<Host>) -> 201 Json<PeerView>, "Connects to a host: {host}.";
    Token DELETE "/api/v1/peers/{addr}" disconnect(Nothing) -> 200 Json<Disconnected>, "Closes the link to a peer.";
    Token PUT "/api/v1/neighbours" set_neighbours(Json<Neighbours>) -> 200 Json<Neighbours>, "Sets the size of the neighbour set: {neighbours}.";
    Token GET "/api/v1/hosts" hosts(Nothing) -> 200 Json<Vec<HostView>>, "Hosts that we know of.";
    Token POST "/api/v1/hosts" import_hosts(Json<Hosts>) -> 200 Json<ImportView>, "Adds hosts to those that we know of: {hosts: [...]}, each a line of a list. What is wrong with a line is in the answer; the others are added.";
    Token GET "/api/v1/searches" searches(Nothing) -> 200 Json<Vec<SearchView>>, "Searches of this run.";
    Token POST "/api/v1/searches" search(Json<SearchRequest>) -> 201 Json<SearchView>, "Asks the network: {query, ttl?, wait_ms?, max?}.";
    Token POST "/api/v1/browse" browse(Json<BrowseRequest>) -> 201 Json<SearchView>, "Lists what a host shares, as the hits of a search: {host, keep_numbers?}.";
    Token GET "/api/v1/searches/{id}" search_state(Nothing) -> 200 Json<SearchView>, "A search.";
    Token DELETE "/api/v1/searches/{id}" end_search(Nothing) -> 200 Json<Ended>, "Ends a search.";
    Token GET "/api/v1/searches/{id}/hits" ["follow": "1: a line each, with those to come, and the end"] hits(Nothing) -> 200 Followed<Vec<HitView>, SearchLine>, "Its hits so far; ?follow=1: a line each, with those to come.";
    Token GET "/api/v1/folder" ["path": "the folder, as the hits tell it; . is the top"] folder(Nothing) -> 200 Json<Vec<u32>>, "Numbers of the latest search's hits in a folder of their hosts, or below it: ?path=.";
    Token GET "/api/v1/watches" watches(Nothing) -> 200 Json<Vec<WatchView>>, "Saved searches.";
    Token POST "/api/v1/watches" watch(Json<WatchRequest>) -> 201 Json<WatchView>, "Saves a search: {query, get?, max?}; max is a text: 100M.";
    Token DELETE "/api/v1/watches/{id}" unwatch(Nothing) -> 200 Json<Removed>, "Removes a saved search.";
    Token GET "/api/v1/watches/{id}/hits" watch_hits(Nothing) -> 200 Json<Vec<HitView>>, "The latest hits of a saved search, oldest first.";
    Token POST "/api/v1/watches/{id}/pause" pause_watch(Nothing) -> 200 Json<WatchView>, "Lets a saved search ask no more.";
    Token POST "/api/v1/watches/{id}/resume" resume_watch(Nothing) -> 200 Json<WatchView>, "Lets it ask again.";
    Token POST "/api/v1/watches/{id}/read" watch_looked_at(Nothing) -> 200 Json<WatchView>, "Its hits so far are not new any more.";
    Token GET "/api/v1/transfers" ["ids": "the numbers of those wanted: 3,7-20"] transfers(Nothing) -> 200 Json<Vec<TransferView>>, "Downloads and uploads; ?ids=3,7-20: those alone.";
    Token POST "/api/v1/transfers" get(Json<GetRequest>) -> 201 Json<TransferView>, "Starts a download: {what, search?, dir?, name?, on_exists?, priority?, template?}.";
    Token POST "/api/v1/transfers/many" get_many(Json<Vec<GetRequest>>) -> 200 Json<Vec<StartedView>>, "Starts up to 100 downloads: what came of each, in their order.";
    Token GET "/api/v1/transfers/{id}" ["follow": "1: a line at each change, to the end"] transfer(Nothing) -> 200 Followed<TransferView, TransferView>, "A transfer; ?follow=1: a line at each change, to the end.";
    Token DELETE "/api/v1/transfers/{id}" cancel(Nothing) -> 200 Json<TransferView>, "Cancels a download and removes its partial file.";
    Token GET "/api/v1/transfers/{id}/blocks" blocks(Nothing) -> 200 Json<BlocksView>, "Which parts of a download are there, and what its sources do.";
    Token POST "/api/v1/transfers/{id}/pause" pause(Nothing) -> 200 Json<TransferView>, "Pauses a download.";
    Token POST "/api/v1/transfers/{id}/resume" resume(Nothing) -> 200 Json<TransferView>, "Goes on with a paused download.";
    Token POST "/api/v1/transfers/{id}/cancel" cancel(Nothing) -> 200 Json<TransferView>, "Cancels a download and removes its partial file.";
    Token POST "/api/v1/transfers/{id}/retry" retry(Nothing) -> 200 Json<TransferView>, "Tries a waiting or failed download now.";
    Token POST "/api/v1/transfers/{id}/priority" prioritise(Json<Level>) -> 200 Json<TransferView>, "Which download goes first among those that wait: {priority: high|normal|low}.";
    Token POST "/api/v1/transfers/{id}/play" play(Nothing) -> 200 Json<PlayView>, "Fetches a download front first, for a player: {id, url}.";
    Key GET "/play/{id}/{key}/{name}" played(Nothing) -> 200 FileBytes, "A file, while it is fetched and afterwards; ranges.";
    Key HEAD "/play/{id}/{key}/{name}" played_head(Nothing) -> 200 Nothing, "The same, without the bytes.";
    Token GET "/api/v1/magnet" ["what": "a hit's number, a urn or the path of a shared file", "transfer": "the number of a download, instead"] magnet(Nothing) -> 200 Json<MagnetView>, "A magnet link: ?what= a hit's number, a urn or the path of a shared file; ?transfer= a download.";
    Token GET "/api/v1/events" ["with": "snapshots to be told at once and when they change: status,peers,shares,searches,watches"] events(Nothing) -> 200 Happenings, "What happens from now on, as server-sent events; ?with=status,peers,shares,searches,watches: snapshots too, at most one a second.";
    Token POST "/api/v1/shutdown" shutdown(Nothing) -> 202 Json<Stopping>, "Stops the servent.";
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
            assert_eq!(route.access == Access::Login, route.path == "/api/v1/login", "{}", route.path);
            assert!(seen.insert((route.method.as_str(), route.path)), "{} {} twice", route.method, route.path);
            assert!(route.what.ends_with('.'), "{}", route.what);
        }
    }
}
