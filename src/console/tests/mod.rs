//! Pages from figures made up.
