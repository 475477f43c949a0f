//! Bodies that only the API has, and how the route table names the shapes of all of them.

use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::answer::{BYTES, EVENTS, JSON, LINES, TEXT};
use crate::app::Error;
use crate::app::view::{EventView, TransferView};

/// What a body looks like, by media type.
pub trait Shape {
    /// Media types and shapes; none for no body.
    fn media(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)>;
}

/// No body.
pub struct Nothing;
/// Plain text.
pub struct Plain;
/// One JSON value.
pub struct Json<T>(PhantomData<T>);
/// One JSON value, or with `?follow=1` a line for each change.
pub struct Followed<T, Line>(PhantomData<(T, Line)>);
/// The bytes of a file.
pub struct FileBytes;
/// Server-sent events.
pub struct Happenings;

impl Shape for Nothing {
    fn media(_: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        Vec::new()
    }
}

impl Shape for Plain {
    fn media(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![(TEXT, generator.subschema_for::<String>())]
    }
}

impl<T: JsonSchema> Shape for Json<T> {
    fn media(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![(JSON, generator.subschema_for::<T>())]
    }
}

impl<T: JsonSchema, Line: JsonSchema> Shape for Followed<T, Line> {
    fn media(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![(JSON, generator.subschema_for::<T>()), (LINES, generator.subschema_for::<Line>())]
    }
}

impl Shape for FileBytes {
    fn media(_: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![(BYTES, Schema::default())]
    }
}

impl Shape for Happenings {
    fn media(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![(EVENTS, generator.subschema_for::<EventView>())]
    }
}

/// `HOST[:PORT]`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Host {
    pub(super) host: String,
}

/// Lines of a list: `HOST[:PORT]` each, or as other programs keep them.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Hosts {
    pub(super) hosts: Vec<String>,
}

/// The size of the neighbour set.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Neighbours {
    pub(super) neighbours: usize,
}

/// `high`, `normal` or `low`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Level {
    pub(super) priority: String,
}

/// A folder that is shared no more.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Unshared {
    pub(super) unshared: String,
}

/// A peer that is linked no more.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Disconnected {
    pub(super) disconnected: String,
}

/// A search that takes no more hits.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ended {
    pub(super) ended: u64,
}

/// A saved search that is there no more.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Removed {
    pub(super) removed: u64,
}

/// The servent goes down.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stopping {
    pub(super) stopping: bool,
}

/// What came of one download of several that were asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartedView {
    /// It is under way.
    Transfer(Box<TransferView>),
    /// It is not.
    Error(Error),
}

/// Where a player finds a download.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlayView {
    /// The number of the transfer.
    pub(super) id: u64,
    /// The address, a key in it that opens this file alone.
    pub(super) url: String,
}

/// The password. It cannot be shown.
#[derive(Deserialize, JsonSchema)]
pub struct LoginRequest {
    pub(super) password: String,
}

/// Whether a password opens this servent, and whether it is another one than before.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PasswordView {
    pub(super) opens: bool,
    pub(super) changed: bool,
}

/// Whether the browser has a cookie now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionView {
    pub(super) session: bool,
}

/// What the API offers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RoutesView {
    pub(super) version: String,
    pub(super) routes: Vec<RouteView>,
}

/// One route.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RouteView {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) what: String,
}

/// An error, as every route answers it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorBody {
    error: ErrorWords,
}

/// What went wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorWords {
    /// For scripts.
    code: String,
    /// What is wrong, with the name of the thing that is.
    message: String,
    /// What to do next; may be empty.
    hint: String,
}
