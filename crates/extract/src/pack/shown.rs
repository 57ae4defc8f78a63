//! Ontologies as the interface and the command line show them.

use quarry::types::ontology as shown;

use super::{Class, ClassId, Ontology, Range, Relation};

impl Ontology {
    /// What a list shows of an ontology of this origin.
    pub fn summary(&self, origin: shown::Origin) -> shown::Summary {
        shown::Summary {
            id: self.id().to_owned(),
            label: self.label().to_owned(),
            version: self.version().to_owned(),
            aliases: self.aliases().to_vec(),
            classes: number(self.classes().len()),
            relations: number(self.relations().len()),
            examples: number(self.sentences().len()),
            origin,
            put_at: None,
        }
    }

    /// All but the examples of an ontology of this origin.
    pub fn shown(&self, origin: shown::Origin) -> shown::Ontology {
        shown::Ontology {
            id: self.id().to_owned(),
            label: self.label().to_owned(),
            version: self.version().to_owned(),
            aliases: self.aliases().to_vec(),
            fully_annotated: self.is_fully_annotated(),
            classes: self.classes().iter().map(|class| self.shown_class(class)).collect(),
            relations: self.relations().iter().map(|it| self.shown_relation(it)).collect(),
            examples: number(self.sentences().len()),
            origin,
            put_at: None,
            notes: self.notes().to_vec(),
        }
    }

    fn shown_class(&self, class: &Class) -> shown::Class {
        let parents = class.lineage.iter().skip(1).copied();
        shown::Class {
            name: class.name.clone(),
            labels: class.labels.clone(),
            parents: self.class_names(parents),
            iri: class.iri.clone(),
        }
    }

    fn shown_relation(&self, relation: &Relation) -> shown::Relation {
        let (range, literal) = match &relation.range {
            Range::Classes(classes) => (self.class_names(classes.iter().copied()), None),
            Range::Literal(datatype) => (Vec::new(), Some(datatype.name().to_owned())),
        };
        let inverse = relation.inverse.and_then(|inverse| self.relation(inverse));
        shown::Relation {
            name: relation.name.clone(),
            labels: relation.labels.clone(),
            domain: self.class_names(relation.domain.iter().copied()),
            range,
            literal,
            functional: relation.functional,
            inverse: inverse.map(|inverse| inverse.name.clone()),
            iri: relation.iri.clone(),
        }
    }

    fn class_names(&self, classes: impl Iterator<Item = ClassId>) -> Vec<String> {
        classes.filter_map(|id| self.class(id)).map(|class| class.name.clone()).collect()
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
