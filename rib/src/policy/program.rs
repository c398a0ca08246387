//! A chain of policies, made ready to judge a million routes.
//!
//! A route is asked about its prefix once: one walk of a trie finds every condition on prefixes that
//! holds, of all rules together ([`Hits`]). Rules that need a prefix which is not there are never
//! visited. Nor are those that need an AS which is not in the path, which no rule changes, or a community that
//! the route does not carry and no rule before adds: a chain of a thousand rules about as many ASes and
//! communities costs one look-up for each that a route has. What is left depends on attributes alone, so two
//! routes with the same attributes and the same hits have the same ruling: whoever judges many routes remembers
//! it ([`Admission`], `rib::pull`).
//!
//! Rules see the route as earlier ones changed it. Who comes to the end passes: policies only say
//! what is special, and the safe defaults stand behind them.
//!
//! [`Admission`]: crate::rib::admit

use core::{fmt, ops::Range};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use redstart_bgp::types::{Asn, PathAttributes, Prefix};
use smallvec::SmallVec;

use super::{
    Action, AnyCommunity, Change, Condition, Rule, RuleSource, SafeDefault, SafeDefaults,
    change::Passed, condition::Subject, prefix_range::RangeTrie,
};

/// The conditions on prefixes that hold for a prefix, in the order of the rules.
pub(crate) type Hits = SmallVec<[u32; 4]>;

/// A chain of policies, in the order in which they are asked.
#[derive(Clone, Default)]
pub struct Program {
    rules: Vec<Rule>,
    /// The number of each rule's first condition on prefixes; conditions are counted over all rules.
    first_hit: Vec<u32>,
    /// For each condition on prefixes the rule that cannot match without it.
    needed_by: Vec<Option<u32>>,
    /// Of the rules that may match whatever the prefix, those that need an AS in the path, by that AS.
    passing: HashMap<Asn, Vec<u32>, FixedState>,
    /// Of the others those that need a community, by that community.
    carrying: HashMap<AnyCommunity, Vec<u32>, FixedState>,
    /// Those that may match whatever prefix, path and communities are.
    anywhere: Vec<u32>,
    trie: RangeTrie<u32>,
    overrides: SafeDefaults,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Program {}

impl Program {
    /// A program that asks these rules in turn.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut program = Self::default();
        let mut added = HashSet::default();
        for (i, rule) in (0..).zip(&rules) {
            program.index(i, rule, &added);
            added.extend(rule.changes.iter().flat_map(Change::added));
        }
        program.rules = rules;
        program
    }

    /// `added`: the communities that rules before it may add.
    fn index(&mut self, number: u32, rule: &Rule, added: &HashSet<AnyCommunity, FixedState>) {
        self.overrides = self.overrides.union(rule.overrides);
        self.first_hit.push(length(&self.needed_by));
        let mut needs_prefix = false;
        for condition in &rule.conditions {
            let Some(ranges) = condition.ranges() else {
                continue;
            };
            let hit = length(&self.needed_by);
            for range in ranges {
                self.trie.insert(*range, hit);
            }
            let first = matches!(condition, Condition::Prefixes(_)) && !needs_prefix;
            needs_prefix |= first;
            self.needed_by.push(first.then_some(number));
        }
        if needs_prefix {
            return;
        }
        if let Some(asns) = rule.conditions.iter().find_map(Condition::needed_ases) {
            for asn in asns {
                self.passing.entry(*asn).or_default().push(number);
            }
            return;
        }
        let came_with = |it: &AnyCommunity| !added.contains(it);
        let mut conditions = rule.conditions.iter();
        match conditions.find_map(|condition| condition.needed_communities(came_with)) {
            Some(communities) => {
                for community in communities {
                    self.carrying.entry(community).or_default().push(number);
                }
            }
            None => self.anywhere.push(number),
        }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether it lets everything pass as it is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether some rule sets `default` aside.
    #[must_use]
    pub const fn may_override(&self, default: SafeDefault) -> bool {
        self.overrides.contains(default)
    }

    /// Whether rules look at prefixes at all.
    pub(crate) const fn looks_at_prefixes(&self) -> bool {
        !self.needed_by.is_empty()
    }

    /// What the rules find special about a prefix.
    pub(crate) fn hits(&self, prefix: Prefix) -> Hits {
        if self.needed_by.is_empty() {
            return Hits::new();
        }
        let mut hits: Hits = self.trie.find(prefix).collect();
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    /// What becomes of a route whose prefix has these `hits`.
    ///
    /// # Errors
    /// The number of the rule that rejected it.
    pub(crate) fn run<'a>(
        &self,
        hits: &Hits,
        subject: Subject<'_>,
        attrs: Cow<'a, PathAttributes>,
    ) -> Result<Passed<'a>, usize> {
        self.run_and_tell(hits, subject, attrs, |_| ())
    }

    /// The same, with a word to `matched` about each rule that matches and does not reject.
    fn run_and_tell<'a>(
        &self,
        hits: &Hits,
        subject: Subject<'_>,
        attrs: Cow<'a, PathAttributes>,
        mut matched: impl FnMut(usize),
    ) -> Result<Passed<'a>, usize> {
        let mut passed = Passed::unchanged(attrs);
        for i in self.candidates(hits, &passed.attrs) {
            let rule = &self.rules[i];
            if !self.matches(i, rule, hits, subject, &passed.attrs) {
                continue;
            }
            if rule.action == Action::Reject {
                return Err(i);
            }
            matched(i);
            for change in &rule.changes {
                passed.apply(change);
            }
            passed.overrides = passed.overrides.union(rule.overrides);
            if rule.action == Action::Accept {
                break;
            }
        }
        Ok(passed)
    }

    /// The rules that decided about a route: those that matched, or the one that rejected it.
    pub(crate) fn explain(
        &self,
        prefix: Prefix,
        subject: Subject<'_>,
        attrs: &PathAttributes,
    ) -> Vec<RuleSource> {
        let mut decided = Vec::new();
        let hits = self.hits(prefix);
        let attrs = Cow::Borrowed(attrs);
        if let Err(rejecting) = self.run_and_tell(&hits, subject, attrs, |i| decided.push(i)) {
            decided = vec![rejecting];
        }
        let source = |i: usize| self.rules[i].source.clone();
        decided.into_iter().map(source).collect()
    }

    /// The rules that can match a prefix with these hits and attributes, in order.
    fn candidates(
        &self,
        hits: &Hits,
        attrs: &PathAttributes,
    ) -> impl Iterator<Item = usize> + use<'_> {
        let by_prefix = hits.iter().filter_map(|hit| self.needed_by[*hit as usize]);
        let mut needy: SmallVec<[u32; 8]> = by_prefix.collect();
        if !self.passing.is_empty() {
            let path = attrs.as_path.iter();
            let rules = path.filter_map(|asn| self.passing.get(&asn));
            needy.extend(rules.flatten().copied());
        }
        if !self.carrying.is_empty() {
            let carried = AnyCommunity::carried_by(attrs);
            let rules = carried.filter_map(|it| self.carrying.get(&it));
            needy.extend(rules.flatten().copied());
        }
        needy.sort_unstable();
        needy.dedup();
        let mut needy = needy.into_iter().peekable();
        let mut anywhere = self.anywhere.iter().copied().peekable();
        core::iter::from_fn(move || {
            let next = match (needy.peek(), anywhere.peek()) {
                (Some(a), Some(b)) if a < b => needy.next(),
                (Some(_), None) => needy.next(),
                _ => anywhere.next(),
            };
            next.map(|rule| rule as usize)
        })
    }

    fn matches(
        &self,
        number: usize,
        rule: &Rule,
        hits: &Hits,
        subject: Subject<'_>,
        attrs: &PathAttributes,
    ) -> bool {
        let mut hit = self.first_hit[number];
        rule.conditions.iter().all(|condition| {
            let mut within = false;
            if condition.ranges().is_some() {
                within = hits.binary_search(&hit).is_ok();
                hit += 1;
            }
            condition.holds(subject, within, attrs)
        })
    }

    /// What going from this program to `new` can change.
    pub(crate) fn difference(self: &Arc<Self>, new: &Arc<Self>) -> Difference {
        if Arc::ptr_eq(self, new) || self.rules == new.rules {
            return Difference::Nothing;
        }
        let (old_rules, new_rules) = (&self.rules, &new.rules);
        let head = old_rules.iter().zip(new_rules).take_while(|(a, b)| a == b);
        let head = head.count();
        let most = old_rules.len().min(new_rules.len()) - head;
        let (old_back, new_back) = (old_rules.iter().rev(), new_rules.iter().rev());
        let tail = old_back.zip(new_back).take_while(|(a, b)| a == b);
        let tail = tail.count().min(most);
        let old = head..old_rules.len() - tail;
        let changed = head..new_rules.len() - tail;
        if self.needs_prefixes(old.clone()) && new.needs_prefixes(changed.clone()) {
            Difference::Prefixes(vec![(Arc::clone(self), old), (Arc::clone(new), changed)])
        } else {
            Difference::Everything
        }
    }

    /// Whether none of these rules can match whatever the prefix.
    fn needs_prefixes(&self, mut rules: Range<usize>) -> bool {
        let needing = self.needed_by.iter().flatten();
        let needing: BTreeSet<usize> = needing.map(|rule| *rule as usize).collect();
        rules.all(|i| needing.contains(&i))
    }
}

/// Numbers are of 32 bits because hits are kept by the thousand; no chain is that long.
fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// Which routes another program may judge differently.
#[derive(Clone, Debug)]
pub(crate) enum Difference {
    /// None.
    Nothing,
    /// Those whose prefix some changed rule asks for.
    Prefixes(Vec<(Arc<Program>, Range<usize>)>),
    /// Any.
    Everything,
}

impl Difference {
    /// Whether the route to `prefix` has to be looked at again.
    pub(crate) fn concerns(&self, prefix: Prefix) -> bool {
        let asked = |(program, rules): &(Arc<Program>, Range<usize>)| {
            let hits = program.hits(prefix);
            let mut needing = hits
                .iter()
                .filter_map(|hit| program.needed_by[*hit as usize]);
            needing.any(|rule| rules.contains(&(rule as usize)))
        };
        match self {
            Self::Nothing => false,
            Self::Prefixes(changed) => changed.iter().any(asked),
            Self::Everything => true,
        }
    }
}
