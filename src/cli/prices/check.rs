//! `tollgate prices check`: what is wrong with a price list, and what it leaves unpriced.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use jiff::Timestamp;
use wildmatch::WildMatch;

use super::{EX_CONFIG, configured, report};
use crate::{
    cli::check::counted,
    config::{self, Config},
    policy::Profiles,
    pricing::{Overrides, PriceBook},
};

/// Which list.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct CheckArgs {
    /// The configuration; its tenants' models are looked up, too
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A price list alone
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.file {
        return match config::examine_prices(file) {
            Ok((overrides, book)) => say(&file.display().to_string(), &overrides, &book),
            Err(problems) => {
                report(&problems)?;
                Ok(ExitCode::from(EX_CONFIG))
            }
        };
    }
    let path = args.config.clone().unwrap_or_default();
    let (config, overrides, book) = match configured(&path)? {
        Ok(configured) => configured,
        Err(code) => return Ok(code),
    };
    for warning in unpriced(&config, &book, Timestamp::now()) {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    say(&config.prices.file.unwrap_or(path).display().to_string(), &overrides, &book)
}

fn say(name: &str, overrides: &Overrides, book: &PriceBook) -> anyhow::Result<ExitCode> {
    let models = counted(overrides.models.len(), "model");
    let requests = counted(overrides.requests.len(), "price") + " of requests";
    writeln!(io::stdout(), "{name}: ok, {models}, {requests}; {}", book.version())?;
    Ok(ExitCode::SUCCESS)
}

/// Entries of tenants' allow-lists that nothing with a price answers to.
fn unpriced(config: &Config, book: &PriceBook, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    let profiles = Profiles::new(&config.profiles);
    for (tenant, settings) in &config.tenants {
        for (index, model) in settings.models.iter().enumerate() {
            let glob = WildMatch::new(model);
            let is_glob = model.contains(['*', '?']);
            let stands_for = profiles.stands_for(model);
            let is_priced = |name: &str| book.sale_of_profile(name, profiles.stands_for(name), now).is_some();
            // Lists are held against a name as it is written, too.
            let mut mapped = config.profiles.keys().filter(|name| glob.matches(name));
            let priced = match is_glob {
                true => book.names().any(|name| glob.matches(name)) || mapped.any(|name| is_priced(name)),
                false => is_priced(model),
            };
            if !priced {
                let what = if is_glob { "matches no model with a price" } else { "has no price" };
                let of = if stands_for == model {
                    String::new()
                } else {
                    format!(", which stands for `{}`,", stands_for.escape_debug())
                };
                let help = "`tollgate prices show` says what to write";
                warnings.push(format!("tenants.{tenant}.models[{index}]: `{}`{of} {what}; {help}", model.escape_debug()));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CONFIG: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[upstream]
region = "us-east-1"
[prices]
file = "prices.toml"
[tenants.acme]
models = ["amazon.nova-lite-v1:0", "cohere.embed-v4:0", "acme.*", "*", "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"]
services = ["*"]
operations = ["*"]
"#;

    #[test]
    fn a_glob_over_names_that_stand_for_priced_models_is_not_warned_of() {
        let list = "models = [\"arn:aws:bedrock:*:application-inference-profile/*\"]";
        let profile =
            |model: &str| format!("[profiles]\n\"arn:aws:bedrock:us-east-1:1:application-inference-profile/x\" = \"{model}\"\n");
        let warned = |model: &str| {
            let (before, after) = (CONFIG.find("models = ").unwrap(), CONFIG.find("services = ").unwrap());
            let text = format!("{}{list}\n{}{}", &CONFIG[..before], &CONFIG[after..], profile(model));
            unpriced(&config::parse(&text, Path::new("t.toml")).unwrap(), &PriceBook::bundled(), Timestamp::now()).len()
        };
        assert_eq!((warned("amazon.nova-lite-v1:0"), warned("acme.y")), (0, 1));
    }

    fn exit_code_for(prices: &str, with_config: bool) -> String {
        let directory = tempfile::tempdir().unwrap();
        let (config, file) = (directory.path().join("tollgate.toml"), directory.path().join("prices.toml"));
        std::fs::write(&config, CONFIG).unwrap();
        std::fs::write(&file, prices).unwrap();
        let (config, file) = if with_config { (Some(config), None) } else { (None, Some(file)) };
        format!("{:?}", run(&CheckArgs { config, file }).unwrap())
    }

    #[test]
    fn a_list_with_errors_is_78_however_it_is_named() {
        for with_config in [false, true] {
            assert_eq!(exit_code_for("", with_config), format!("{:?}", ExitCode::SUCCESS));
            for broken in ["[", "models = 1", "[models.x]\nalias_of = \"y\""] {
                assert_eq!(exit_code_for(broken, with_config), format!("{:?}", ExitCode::from(EX_CONFIG)), "{broken}");
            }
        }
    }

    #[test]
    fn allowed_models_without_a_price_are_named() {
        let config = config::parse(CONFIG, Path::new("t.toml")).unwrap();
        let list =
            "[models.\"arn:aws:bedrock:us-east-1:1:application-inference-profile/x\"]\nalias_of = \"amazon.nova-lite-v1:0\"";
        let (_, book) = config::parse_prices(list, Path::new("prices.toml")).unwrap();
        assert_eq!(
            unpriced(&config, &book, Timestamp::now()),
            [
                "tenants.acme.models[1]: `cohere.embed-v4:0` has no price; `tollgate prices show` says what to write",
                "tenants.acme.models[2]: `acme.*` matches no model with a price; `tollgate prices show` says what to write",
            ]
        );
    }
}
