//! The OpenAPI document, generated from the route table and the types that the routes take and give.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::bodies::ErrorBody;
use super::routes::{Access, Body, ROUTES, Route};

/// The document. It is made once.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

fn make() -> Value {
    let mut generator =
        SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into()).into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for route in ROUTES {
        let mut content = |body: &Body| -> Map<String, Value> {
            let media = (body.media)(&mut generator);
            media.into_iter().map(|(kind, schema)| (kind.to_owned(), json!({ "schema": schema }))).collect()
        };
        let (takes, gives) = (content(&route.takes), content(&route.gives));
        let mut operation = json!({
            "operationId": operation_id(route),
            "summary": route.what,
            "parameters": parameters(route),
            "responses": {
                route.status.to_string(): { "description": "Done.", "content": gives },
                "default": {
                    "description": "What is wrong, and what to do.",
                    "content": { "application/json": { "schema": error } },
                },
            },
        });
        if !takes.is_empty() {
            operation["requestBody"] = json!({ "required": true, "content": takes });
        }
        if route.access != Access::Token {
            operation["security"] = json!([]);
        }
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "filbert",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The control API of a running servent. Keys are only ever added within v1.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "security": [{ "token": [] }, { "cookie": [] }],
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The token in the file that `up` names." },
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": "filbert-7346",
                    "description": "What POST /api/v1/session and POST /api/v1/login give; the name ends with the port.",
                },
            },
            "schemas": generator.take_definitions(true),
        },
    })
}

/// `getTransfersIdBlocks`.
fn operation_id(route: &Route) -> String {
    let words = route.path.trim_start_matches("/api/v1").split(|c: char| !c.is_alphanumeric());
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let named: String = words.filter(|word| !word.is_empty()).map(capital).collect();
    let named = if named.is_empty() { "Routes" } else { &named };
    format!("{}{named}", route.method.as_str().to_lowercase())
}

fn parameters(route: &Route) -> Vec<Value> {
    let segments = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = segments.map(|name| {
        let kind = if name == "id" { "integer" } else { "string" };
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": kind } })
    });
    let behind = route.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": "string" } })
    });
    in_path.chain(behind).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All `$ref` in a value.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match (key.as_str(), value.as_str()) {
                ("$ref", Some(to)) => {
                    found.insert(to);
                }
                _ => references(value, found),
            }),
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_in_it_and_every_reference_leads_somewhere() {
        let document = document();
        let mut names = BTreeSet::new();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
            assert_eq!(operation["summary"], route.what, "{} {}", route.method, route.path);
            assert!(operation["responses"][route.status.to_string()].is_object(), "{operation}");
            assert!(names.insert(operation["operationId"].as_str().expect("a name")), "{operation}");
        }
        let mut found = BTreeSet::new();
        references(document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for to in found {
            let pointer = to.strip_prefix('#').expect("in this document");
            assert!(document.pointer(pointer).is_some_and(Value::is_object), "{to}");
        }
        let transfer = &document["components"]["schemas"]["TransferView"]["properties"];
        assert!(transfer["reason"]["description"].as_str().is_some_and(|text| text.contains("in words")), "{transfer}");
    }
}
