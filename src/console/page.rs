//! Which pages there are for operators, and where.

use super::{
    Figures,
    configuration::ConfigurationPage,
    models::ModelsPage,
    overview::Overview,
    refusals::RefusalsPage,
    tenants::{TenantPage, TenantsPage},
    upstreams::UpstreamsPage,
};
use askama::Template;

/// A page, and whether it looks again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    what: What,
    refreshing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Overview,
    Tenants,
    Tenant(String),
    Models,
    Upstreams,
    Configuration,
    Refusals(Option<String>),
}

impl Page {
    /// The page at a path and query, if there is one. Names in them are letters, digits, `.`, `_` and `-`, so nothing is decoded.
    pub fn of(path: &str, query: &str) -> Option<Page> {
        let mut parameters = query.split('&');
        let refreshing = parameters.clone().any(|parameter| parameter == "refresh");
        let what = match path.strip_prefix("/console")? {
            "" | "/" => What::Overview,
            "/tenants" => What::Tenants,
            "/models" => What::Models,
            "/upstreams" => What::Upstreams,
            "/configuration" => What::Configuration,
            "/refusals" => What::Refusals(parameters.find_map(|parameter| parameter.strip_prefix("tenant=")).map(str::to_owned)),
            rest => What::Tenant(rest.strip_prefix("/tenants/")?.to_owned()),
        };
        Some(Page { what, refreshing })
    }

    /// The page as HTML; nothing if it is of a tenant that there is not.
    ///
    /// # Errors
    /// Formatting fails, which it does not.
    pub fn render(&self, figures: &Figures) -> Result<Option<String>, askama::Error> {
        let refreshing = self.refreshing;
        let page = match &self.what {
            What::Overview => Overview::new(figures, refreshing).render(),
            What::Tenants => TenantsPage::new(figures, refreshing).render(),
            What::Tenant(name) => match figures.tenant(name) {
                Some(tenant) => TenantPage::new(tenant, figures, refreshing).render(),
                None => return Ok(None),
            },
            What::Models => ModelsPage::new(figures, refreshing).render(),
            What::Upstreams => UpstreamsPage::new(figures, refreshing).render(),
            What::Configuration => ConfigurationPage::new(figures, refreshing).render(),
            What::Refusals(tenant) => RefusalsPage::new(tenant.as_deref(), figures, refreshing).render(),
        };
        page.map(Some)
    }
}
