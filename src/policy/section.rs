//! One section of the configuration, a tenant's or a group's: what it grants, what it denies, and what it demands besides.

use super::{
    bounds::Bounds,
    list::{List, Subject},
};
use crate::config::{self, NetworkError, key_path};

/// Lists of one section, and its bounds.
#[derive(Debug)]
pub(super) struct Section {
    lists: [Pair; Subject::ALL.len()],
    pub bounds: Bounds,
}

#[derive(Debug)]
struct Pair {
    allow: List,
    deny: List,
}

impl Section {
    pub fn of_tenant(name: &str, tenant: &config::Tenant) -> Result<Section, NetworkError> {
        let config::Tenant { services, operations, models, regions, service_tiers, deny, .. } = tenant;
        let section = ["tenants", name];
        let bounds = Bounds::new(section, &tenant.allow_from, tenant.body_bytes_max, &tenant.guardrail, &deny.principals)?;
        Ok(Section { lists: lists(section, [services, operations, models, regions, service_tiers], deny), bounds })
    }

    pub fn of_group(name: &str, group: &config::Group) -> Result<Section, NetworkError> {
        let config::Group { services, operations, models, regions, service_tiers, deny, .. } = group;
        let section = ["groups", name];
        let bounds = Bounds::new(section, &group.allow_from, group.body_bytes_max, &group.guardrail, &deny.principals)?;
        Ok(Section { lists: lists(section, [services, operations, models, regions, service_tiers], deny), bounds })
    }

    pub fn allows(&self, subject: Subject) -> &List {
        &self.lists[subject as usize].allow
    }

    pub fn denies(&self, subject: Subject) -> &List {
        &self.lists[subject as usize].deny
    }
}

/// `section`: where it is written, `["tenants", "acme"]`.
fn lists(section: [&str; 2], allow: [&[String]; Subject::ALL.len()], deny: &config::Denied) -> [Pair; Subject::ALL.len()] {
    let [table, name] = section;
    let denied = [&deny.services, &deny.operations, &deny.models, &deny.regions, &deny.service_tiers];
    Subject::ALL.map(|subject| {
        let denying = if subject == Subject::Models { List::denying_models } else { List::denying };
        Pair {
            allow: List::allowing(key_path(&[table, name, subject.key()]), allow[subject as usize]),
            deny: denying(key_path(&[table, name, "deny", subject.key()]), denied[subject as usize]),
        }
    })
}
