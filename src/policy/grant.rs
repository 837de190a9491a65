//! What one section of the configuration grants, and what it denies: a tenant's own lists, or those of a group.

use super::list::{List, Subject};
use crate::config::{self, key_path};

/// Lists of one section.
#[derive(Debug)]
pub(super) struct Grant {
    lists: [Pair; Subject::ALL.len()],
}

#[derive(Debug)]
struct Pair {
    allow: List,
    deny: List,
}

impl Grant {
    /// `section`: where it is written, `["tenants", "acme"]`.
    fn new(section: [&str; 2], allow: [&[String]; Subject::ALL.len()], deny: &config::Denied) -> Grant {
        let [table, name] = section;
        let denied = [&deny.services, &deny.operations, &deny.models, &deny.regions, &deny.service_tiers];
        let pair = |subject: Subject| Pair {
            allow: List::allowing(key_path(&[table, name, subject.key()]), allow[subject as usize]),
            deny: List::denying(key_path(&[table, name, "deny", subject.key()]), denied[subject as usize]),
        };
        Grant { lists: Subject::ALL.map(pair) }
    }

    pub fn of_tenant(name: &str, tenant: &config::Tenant) -> Grant {
        let config::Tenant { services, operations, models, regions, service_tiers, .. } = tenant;
        Grant::new(["tenants", name], [services, operations, models, regions, service_tiers], &tenant.deny)
    }

    pub fn of_group(name: &str, group: &config::Group) -> Grant {
        let config::Group { services, operations, models, regions, service_tiers, .. } = group;
        Grant::new(["groups", name], [services, operations, models, regions, service_tiers], &group.deny)
    }

    pub fn allows(&self, subject: Subject) -> &List {
        &self.lists[subject as usize].allow
    }

    pub fn denies(&self, subject: Subject) -> &List {
        &self.lists[subject as usize].deny
    }
}
