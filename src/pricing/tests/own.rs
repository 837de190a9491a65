//! The operator's prices: before the bundled ones, from their dates on, tier by tier.

use super::*;
use crate::bedrock::usage::{ServiceTier, Usage};

const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const PROFILE: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3";

fn overrides(text: &str) -> Overrides {
    toml::from_str(text).unwrap()
}

fn book(text: &str) -> PriceBook {
    PriceBook::with(&overrides(text), "prices.toml").unwrap()
}

/// The price of a million tokens of input in a tier, with its source; asked for fewer, for most models take no million.
fn input(book: &PriceBook, model: &str, time: &str, tier: ServiceTier) -> String {
    let Some(price) = book.price(model, at(time)) else { return "-".to_owned() };
    let charge_of = Usage { input_tokens: 100_000, ..Usage::default() };
    let charge = price.charge(&charge_of, tier);
    format!("{} {}", NanoUsd(charge.cost.0 * 10), charge.source())
}

#[test]
fn a_price_holds_from_its_date_on_and_the_bundled_one_before() {
    let book = book(&format!(
        "[[models.\"{SONNET}\".prices]]\neffective_from = \"2026-08-01\"\ninput = \"2.97\"\n\
         [[models.\"{SONNET}\".prices]]\neffective_from = \"2026-10-01T02:00:00+02:00\"\ninput = \"1\"\n"
    ));
    for (time, expected) in [
        ("2026-07-31T23:59:59Z", "3.30 genai-prices 0.2.1 regional"),
        ("2026-08-01T00:00:00Z", "2.97 prices.toml"),
        ("2026-09-30T23:59:59Z", "2.97 prices.toml"),
        ("2026-10-01T00:00:00Z", "1.00 prices.toml"),
    ] {
        assert_eq!(input(&book, SONNET, time, ServiceTier::Standard), expected);
    }
    let arn = format!("arn:aws:bedrock:us-east-1:111122223333:inference-profile/{SONNET}");
    assert_eq!(input(&book, &arn, "2026-11-01T00:00:00Z", ServiceTier::Standard), "1.00 prices.toml");
    let global = SONNET.replace("us.", "global.");
    assert_eq!(input(&book, &global, "2026-11-01T00:00:00Z", ServiceTier::Standard), "3.00 genai-prices 0.2.1 global");
    assert_eq!(book.changes(SONNET).len(), 2);
}

#[test]
fn a_tier_is_priced_apart_and_the_others_stay() {
    let book = book(&format!("[[models.\"{SONNET}\".prices]]\ntier = \"flex\"\ninput = \"1.65\"\n"));
    let time = "2026-11-01T00:00:00Z";
    assert_eq!(input(&book, SONNET, time, ServiceTier::Standard), "3.30 genai-prices 0.2.1 regional");
    assert_eq!(input(&book, SONNET, time, ServiceTier::Flex), "1.65 prices.toml");
    assert_eq!(input(&book, SONNET, time, ServiceTier::Priority), "3.30 genai-prices 0.2.1 regional; unpriced: tier");
}

#[test]
fn an_opaque_arn_costs_what_its_alias_says() {
    let time = "2026-11-01T00:00:00Z";
    let standard = ServiceTier::Standard;
    assert_eq!(input(&book(""), PROFILE, time, standard), "-");
    let aliased = book(&format!("[models.\"{PROFILE}\"]\nalias_of = \"{SONNET}\"\n"));
    assert_eq!(input(&aliased, PROFILE, time, standard), "3.30 genai-prices 0.2.1 regional");
    assert_eq!(aliased.facts(PROFILE), ModelFacts { max_output_tokens: 64_000, burndown: 5 });
    let both = book(&format!(
        "[models.\"{PROFILE}\"]\nalias_of = \"{SONNET}\"\n[models.\"{SONNET}\"]\nprices = [{{ input = \"2\" }}]\nburndown = 2\n"
    ));
    assert_eq!(input(&both, PROFILE, time, standard), "2.00 prices.toml");
    assert_eq!(both.facts(PROFILE).burndown, 2);
    let another = PROFILE.replace("a1b2c3", "a1b2c4");
    assert_eq!(input(&both, &another, time, standard), "-");
}

#[test]
fn facts_are_documented_or_the_operators() {
    let book = book(&format!("[models.\"{SONNET}\"]\nmax_output_tokens = 1000\n"));
    assert_eq!(book.facts(SONNET), ModelFacts { max_output_tokens: 1_000, burndown: 5 });
    assert_eq!(&**book.price(SONNET, now()).unwrap().source(), "genai-prices 0.2.1 regional");
    for (model, max_output_tokens, burndown) in [
        ("anthropic.claude-3-haiku-20240307-v1:0", 4_096, 1),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", 8_192, 1),
        ("eu.anthropic.claude-3-7-sonnet-20250219-v1:0", 128_000, 5),
        ("anthropic.claude-opus-4-20250514-v1:0", 32_000, 5),
        ("anthropic.claude-opus-4-1-20250805-v1:0", 32_000, 5),
        ("global.anthropic.claude-opus-4-6-v1", 128_000, 5),
        ("sa.anthropic.claude-opus-4-6-v1", 128_000, 5),
        ("in.anthropic.claude-opus-4-6-v1", 128_000, 5),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", 10_000, 1),
        ("openai.gpt-5.6-sol", 128_000, 1),
        ("openai.gpt-50", 64_000, 1),
        ("amazon.titan-embed-text-v2:0", 0, 1),
        ("amazon.nova-canvas-v1:0", 0, 1),
        ("us.stability.stable-image-inpaint-v1:0", 0, 1),
        ("cohere.rerank-v3-5:0", 0, 1),
        ("twelvelabs.pegasus-1-2-v1:0", 4_096, 1),
        ("acme.unheard-of", 64_000, 1),
    ] {
        let expected = ModelFacts { max_output_tokens, burndown };
        assert_eq!(PriceBook::bundled().facts(model), expected, "{model}");
    }
}

#[test]
fn every_bundled_model_has_documented_facts() {
    let unknown: Vec<_> = PriceBook::left_out().iter().map(|(id, _)| id.as_str()).collect();
    for name in PriceBook::bundled().names().filter(|name| name.contains('.') && !unknown.contains(name)) {
        let vendorless = name.starts_with("gpt-") || name.starts_with("claude-");
        assert!(vendorless || ModelFacts::is_documented(name), "{name}");
    }
}

#[test]
fn a_profile_with_a_price_of_its_own_writes_as_much_as_its_model() {
    let opus = "anthropic.claude-opus-4-6-v1";
    let facts = |text: &str| {
        let facts = book(text).facts_of_profile(PROFILE, opus);
        (facts.max_output_tokens, facts.burndown)
    };
    assert_eq!(facts(""), (128_000, 5));
    assert_eq!(facts(&format!("[[models.\"{PROFILE}\".prices]]\ninput = \"4\"\noutput = \"20\"\n")), (128_000, 5));
    assert_eq!(facts(&format!("[models.\"{PROFILE}\"]\nmax_output_tokens = 9_000\n")), (9_000, 5));
    assert_eq!(facts(&format!("[models.\"{opus}\"]\nburndown = 7\n")), (128_000, 7));
    // What it is said to be an alias of goes before what it stands for elsewhere.
    assert_eq!(facts(&format!("[models.\"{PROFILE}\"]\nalias_of = \"amazon.nova-lite-v1:0\"\n")).1, 1);
}

#[test]
fn requests_are_priced_by_operation() {
    let book = book("[requests]\nApplyGuardrail = \"0.00015\"\n");
    assert_eq!(book.request_price("ApplyGuardrail"), Some(NanoUsd(150_000)));
    assert_eq!(book.request_price("InvokeAgent"), None);
    assert_eq!(self::book("[requests]\nUnknown = \"0\"\n").request_price("Unknown"), Some(NanoUsd::ZERO));
}

#[test]
fn a_model_is_priced_by_request_or_by_token() {
    let arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/x";
    let text = "[models.\"amazon.nova-lite-v1:0\"]\nrequest = \"0.04\"\n[models.\"ARN\"]\nalias_of = \"amazon.nova-lite-v1:0\"\n";
    let book = book(&text.replace("ARN", arn));
    for model in ["amazon.nova-lite-v1:0", arn] {
        assert!(matches!(book.sale(model, now()), Some(Sale::ByRequest(NanoUsd(40_000_000)))), "{model}");
        assert!(book.price(model, now()).is_none(), "{model}");
        assert!(book.names().any(|name| name == model));
    }
    assert!(matches!(book.sale("amazon.nova-pro-v1:0", now()), Some(Sale::ByToken(_))));
    assert!(book.sale("acme.x", now()).is_none());
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (text, place, message) in [
        ("[models.x]", "models.x", "nothing is said of this model"),
        ("[models.x]\nburndown = 0", "models.x.burndown", "0 makes no sense here"),
        ("[models.x]\nalias_of = \"y\"", "models.x.alias_of", "`y` has no price"),
        ("[models.x]\nalias_of = \"x\"", "models.x.alias_of", "`x` is an alias itself"),
        ("[models.x]\nalias_of = \"y\"\nprices = [{ input = \"1\" }]", "models.x.alias_of", "the model has an alias and prices"),
        ("[models.x]\nprices = [{ input = \"1e3\" }]", "models.x.prices.0.input", "not a price in US dollars per million tokens"),
        ("[models.x]\nprices = [{ input = \"1\", output = \"-1\" }]", "models.x.prices.0.output", "not a price"),
        ("[models.x]\nprices = [{ input = \"1\", tier = \"fast\" }]", "models.x.prices.0.tier", "`fast` is not a service tier"),
        (
            "[models.x]\nprices = [{ input = \"1\", effective_from = \"1.8.26\" }]",
            "models.x.prices.0.effective_from",
            "neither a date nor a time with its offset",
        ),
        (
            "[models.x]\nprices = [{ input = \"1\", effective_from = \"2026-11-23T23:59:00\" }]",
            "models.x.prices.0.effective_from",
            "a time without its offset",
        ),
        ("[models.x]\nprices = [{ input = \"1\" }, { input = \"2\" }]", "models.x.prices.1", "a row for the same tier"),
        (
            "[models.x]\nprices = [{ input = \"1\", input_tokens_over = 5 }]",
            "models.x.prices.0.input_tokens_over",
            "shorter input has no price",
        ),
        ("[models.x]\nprices = [{ input = \"1\", tier = \"flex\" }]", "models.x.prices", "no standard price"),
        ("[requests]\nRerank = \"-1\"", "requests.Rerank", "not a price in US dollars per request"),
        ("[requests]\nInvokeModel = \"0.04\"", "requests.InvokeModel", "the operation is charged by its model's tokens"),
        ("[requests]\nRernak = \"0\"", "requests.Rernak", "no such operation"),
        ("[models.x]\nrequest = \"1e3\"", "models.x.request", "not a price in US dollars per request"),
        (
            "[models.x]\nrequest = \"1\"\nprices = [{ input = \"1\" }]",
            "models.x.request",
            "the model has a price by request and another one",
        ),
    ] {
        let flaws = PriceBook::with(&overrides(text), "prices.toml").unwrap_err();
        let [flaw] = flaws.as_slice() else { panic!("{text}: {flaws:?}") };
        let steps = flaw.path.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        });
        assert_eq!(steps.collect::<Vec<_>>().join("."), place, "{text}");
        assert!(flaw.message.starts_with(message), "{text}: {}", flaw.message);
        assert!(!flaw.help.is_empty());
    }
}
