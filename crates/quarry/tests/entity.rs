//! What `#[entity]` makes of an author's methods, as a registry and its callers see it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use quarry::{
    prelude::*,
    types::{Delivery, EntityType, Method, RefusalCode},
};

/// Every form that a method may have.
#[derive(Default, Serialize, Deserialize)]
struct Forms {
    sum: i64,
}

#[entity]
impl Forms {
    const TYPE: &'static str = "EveryForm";

    fn clear(&mut self) {
        self.sum = 0;
    }

    fn add(&mut self, #[body] number: i64) -> i64 {
        self.sum += number;
        self.sum
    }

    async fn add_all(&mut self, #[body] (a, b): (i64, i64), context: &Context) -> i64 {
        self.sum += std::future::ready(a + b).await;
        self.sum + i64::from(context.attempt())
    }

    #[method(name = "PutState")]
    fn put(
        &mut self,
        state: &str,
        context: Option<i64>,
        r#type: &[i64],
    ) -> Result<i64, HandlerError> {
        self.sum = state.parse::<i64>()? + context.unwrap_or(0) + r#type.iter().sum::<i64>();
        Ok(self.sum)
    }

    fn read(&self) -> i64 {
        self.sum
    }

    #[method(current, name = "IsAbove")]
    fn is_above(&self, least: i64) -> Result<bool, std::num::TryFromIntError> {
        Ok(u32::try_from(self.sum)? > u32::try_from(least)?)
    }
}

/// Shares a word among all of its entities.
struct Echo {
    word: String,
}

#[entity]
impl Echo {
    type State = Vec<String>;

    async fn say(&self, said: &mut Vec<String>) -> String {
        said.push(std::future::ready(self.word.clone()).await);
        said.concat()
    }

    fn count(said: &[String]) -> usize {
        said.len()
    }
}

fn registry() -> Registry {
    Registry::builder().with(Forms::default()).with(Echo { word: "so".to_owned() }).build()
}

/// How `method` with `body` would be delivered, or why not.
fn check(of: &str, method: &str, body: &str) -> Result<Delivery, (RefusalCode, String)> {
    let (of, method) = (EntityType::new(of).unwrap(), Method::new(method).unwrap());
    let checked = registry().check(&of, &method, body.as_bytes());
    checked.map_err(|refusal| (refusal.code, refusal.message))
}

#[test]
fn methods_are_known_by_their_names_and_delivered_by_their_receivers() {
    let names = |of: &str| -> Vec<(&str, Delivery)> {
        let spec = registry().get(&EntityType::new(of).unwrap()).unwrap();
        spec.methods.iter().map(|method| (method.name, method.delivery)).collect()
    };
    assert_eq!(
        names("EveryForm"),
        [
            ("clear", Delivery::Durable),
            ("add", Delivery::Durable),
            ("add_all", Delivery::Durable),
            ("PutState", Delivery::Durable),
            ("read", Delivery::VolatileLocal),
            ("IsAbove", Delivery::VolatileCurrent),
        ]
    );
    assert_eq!(names("Echo"), [("say", Delivery::Durable), ("count", Delivery::VolatileLocal)]);
}

#[test]
fn a_body_is_what_the_arguments_say() {
    for (method, body) in [
        ("clear", ""),
        ("clear", "{}"),
        ("add", "5"),
        ("add_all", "[1, 2]"),
        ("PutState", r#"{"state": "1", "type": [2]}"#),
        ("PutState", r#"{"context": 3, "type": [2], "state": "1"}"#),
        ("IsAbove", r#"{"least": 1}"#),
    ] {
        assert!(check("EveryForm", method, body).is_ok(), "{method} {body}");
    }
    for (method, body, reason) in [
        ("clear", "5", "takes no argument"),
        ("add", r#"{"number": 5}"#, "found an object"),
        ("add_all", "[1]", "a list of 2 values"),
        ("PutState", r#"{"state": "1"}"#, "missing field `type`"),
        ("PutState", r#"{"state": "1", "type": [2], "kind": 3}"#, "unknown field `kind`"),
        ("IsAbove", r#"{"least": "1"}"#, "least: found the text"),
    ] {
        let (code, message) = check("EveryForm", method, body).unwrap_err();
        assert_eq!(code, RefusalCode::InvalidPayload, "{method} {body}");
        assert!(message.contains(reason), "{method} {body}: {message}");
    }
}

#[test]
fn an_unknown_method_or_type_is_refused_with_what_there_is() {
    let (code, message) = check("EveryForm", "put", "").unwrap_err();
    assert_eq!(code, RefusalCode::UnknownMethod);
    assert!(message.contains("clear, add, add_all, PutState, read, IsAbove"), "{message}");
    let (code, message) = check("Forms", "add", "5").unwrap_err();
    assert_eq!(code, RefusalCode::UnknownType);
    assert!(message.contains("Echo, EveryForm"), "{message}");
}
