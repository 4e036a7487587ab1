//! The part of JSON Schema (2020-12) that the published schema uses. The full validators on crates.io bring in more
//! crates than the rest of this package; a keyword that is not known here fails loudly instead of passing.

use serde_json::Value;

/// What in `instance` violates `schema`, one line each.
pub fn violations(schema: &Value, instance: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Checker { root: schema }.check(schema, instance, "", &mut found);
    found
}

struct Checker<'s> {
    root: &'s Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, instance: &Value, at: &str, found: &mut Vec<String>) {
        for (keyword, rule) in schema.as_object().expect("a schema is an object") {
            let holds = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let target = rule.as_str().and_then(|path| path.strip_prefix('#')).expect("a local path");
                    let target = self.root.pointer(target).expect("the target is there");
                    self.check(target, instance, at, found);
                    true
                }
                "type" => match rule {
                    Value::Array(names) => names.iter().any(|name| is(instance, name)),
                    name => is(instance, name),
                },
                "const" => instance == rule,
                "enum" => rule.as_array().expect("a list").contains(instance),
                "format" => {
                    assert_eq!(rule, "date-time");
                    instance.as_str().is_none_or(|text| humantime::parse_rfc3339(text).is_ok())
                }
                "minLength" => {
                    instance.as_str().is_none_or(|text| text.chars().count() as f64 >= number(rule))
                }
                "minimum" => instance.as_f64().is_none_or(|value| value >= number(rule)),
                "maximum" => instance.as_f64().is_none_or(|value| value <= number(rule)),
                "uniqueItems" => instance
                    .as_array()
                    .is_none_or(|items| items.iter().enumerate().all(|(i, item)| !items[..i].contains(item))),
                "required" => instance.as_object().is_none_or(|fields| {
                    let names = rule.as_array().expect("a list of names");
                    names.iter().all(|name| fields.contains_key(name.as_str().expect("a name")))
                }),
                "properties" => {
                    for (name, inner) in rule.as_object().expect("schemas by name") {
                        if let Some(value) = instance.get(name) {
                            self.check(inner, value, &format!("{at}/{name}"), found);
                        }
                    }
                    true
                }
                "items" => {
                    for (position, item) in instance.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}/{position}"), found);
                    }
                    true
                }
                "anyOf" => rule.as_array().expect("schemas").iter().any(|inner| {
                    let mut inside = Vec::new();
                    self.check(inner, instance, at, &mut inside);
                    inside.is_empty()
                }),
                other => panic!("the schema uses `{other}`, which this checker does not know"),
            };
            if !holds {
                found.push(format!("{at}: not {keyword} {rule}"));
            }
        }
    }
}

fn is(instance: &Value, name: &Value) -> bool {
    match name.as_str().expect("the name of a type") {
        "object" => instance.is_object(),
        "array" => instance.is_array(),
        "string" => instance.is_string(),
        "boolean" => instance.is_boolean(),
        "null" => instance.is_null(),
        "number" => instance.is_number(),
        "integer" => instance.as_f64().is_some_and(|value| value.fract() == 0.0),
        other => panic!("the schema uses the type `{other}`"),
    }
}

fn number(rule: &Value) -> f64 {
    rule.as_f64().expect("a number")
}
