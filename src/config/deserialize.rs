//! serde's way into a [`Node`]. It differs from toml's own in what it does with errors (they stay data, with their path) and in
//! [`Value::Placeholder`], which stands for a value that has been reported and lets the rest of the file be read.

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

use super::{
    document::{Entry, Node, Step, Value},
    fault::{Fault, Kind},
};

/// Satisfies every string there is, socket addresses included.
const PLACEHOLDER_TEXT: &str = "127.0.0.1:0";

/// Every field of a struct that is asked of a placeholder is one, too.
static PLACEHOLDER: Node = Node { span: 0..0, value: Value::Placeholder };

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(small), _) => visitor.visit_i64(small),
                (_, Ok(large)) => visitor.visit_u64(large),
                _ => visitor.visit_i128(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Datetime => visitor.visit_unit(),
            Value::Array(nodes) => visitor.visit_seq(Elements { nodes: nodes.iter(), index: 0 }),
            Value::Table(entries) => visitor.visit_map(Entries { entries: entries.iter(), current: None }),
            Value::Placeholder => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.stands_in() { visitor.visit_bool(false) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.stands_in() { visitor.visit_u64(1) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.stands_in() { visitor.visit_f64(1.0) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.stands_in() { visitor.visit_borrowed_str(PLACEHOLDER_TEXT) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.stands_in() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.stands_in() { visitor.visit_seq(Elements { nodes: [].iter(), index: 0 }) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.stands_in() {
            visitor.visit_map(Entries { entries: [].iter(), current: None })
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if self.stands_in() {
            return visitor.visit_map(de::value::MapDeserializer::new(fields.iter().map(|field| (*field, &PLACEHOLDER))));
        }
        // serde would take its elements for the fields, in their order.
        if let Value::Array(_) = &self.value {
            return Err(Fault::new(Kind::WrongType { expected: "a map".to_owned() }));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(word) => visitor.visit_enum(Variant { word, at_key: false, content: None }),
            Value::Table(entries) => match entries.as_slice() {
                [Entry { key, node, .. }] => visitor.visit_enum(Variant { word: key, at_key: true, content: Some(node) }),
                _ => Err(Fault::new(Kind::WrongType { expected: "one key".to_owned() })),
            },
            Value::Placeholder => {
                let word = variants.first().copied().unwrap_or_default();
                visitor.visit_enum(Variant { word, at_key: false, content: Some(&PLACEHOLDER) })
            }
            _ => Err(Fault::new(Kind::WrongType { expected: "string or table".to_owned() })),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

impl Node {
    fn stands_in(&self) -> bool {
        matches!(self.value, Value::Placeholder)
    }
}

impl<'de> IntoDeserializer<'de, Fault> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Elements<'de> {
    nodes: std::slice::Iter<'de, Node>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.nodes.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(node).map(Some).map_err(|fault| fault.within(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key = StrDeserializer::<Fault>::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|fault| fault.within(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.current.take() else { return Err(de::Error::custom("a value without its key")) };
        seed.deserialize(&entry.node).map_err(|fault| fault.within(Step::Key(entry.key.clone())))
    }
}

/// `word`, or `{ word = content }`.
struct Variant<'de> {
    word: &'de str,
    at_key: bool,
    content: Option<&'de Node>,
}

impl Variant<'_> {
    fn locate(&self, fault: Fault) -> Fault {
        if self.at_key { fault.within(Step::Key(self.word.to_owned())) } else { fault }
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let word = StrDeserializer::<Fault>::new(self.word);
        let value = seed.deserialize(word).map_err(|fault| match fault.kind {
            Kind::UnknownWord { word, expected, .. } => {
                self.locate(Fault::new(Kind::UnknownWord { word, expected, at_key: self.at_key }))
            }
            _ => self.locate(fault),
        })?;
        Ok((value, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            Some(node) if !node.stands_in() => Err(Fault::new(Kind::WrongType { expected: "a string".to_owned() })),
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self.content {
            Some(node) => seed.deserialize(node).map_err(|fault| self.locate(fault)),
            None => Err(Fault::new(Kind::WrongType { expected: "a map".to_owned() })),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.content.map_or_else(|| Err(de::Error::custom("a value is missing")), |node| node.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.content
            .map_or_else(|| Err(de::Error::custom("a value is missing")), |node| node.deserialize_struct("", fields, visitor))
    }
}
