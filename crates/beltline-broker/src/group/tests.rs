//! Histories of a group: members that come, go, fall silent, repeat themselves and miss answers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
enum Doing {
    Nothing,
    Joining(Ticket),
    Syncing(Ticket),
    Working,
}

#[derive(Clone, Debug)]
struct Client {
    instance: Option<Arc<str>>,
    id: Arc<str>,
    generation: i32,
    doing: Doing,
    is_alive: bool,
}

/// Clients that follow the protocol, and what they have seen.
struct World {
    groups: Coordinator,
    now: Duration,
    clients: Vec<Client>,
    tickets: Ticket,
    /// Whose request a ticket was; gone once it is answered.
    open: BTreeMap<Ticket, usize>,
    leaders: BTreeMap<i32, Arc<str>>,
    known_first: bool,
}

impl World {
    fn new(clients: usize, statics: usize, known_first: bool) -> World {
        let client = |number: usize| Client {
            instance: (number < statics).then(|| Arc::from(format!("instance-{number}"))),
            id: Arc::from(""),
            generation: -1,
            doing: Doing::Nothing,
            is_alive: false,
        };
        World {
            groups: Coordinator::for_tests(),
            now: Duration::ZERO,
            clients: (0..clients).map(client).collect(),
            tickets: 0,
            open: BTreeMap::new(),
            leaders: BTreeMap::new(),
            known_first,
        }
    }

    fn membership(&self, number: usize) -> Membership {
        let client = &self.clients[number];
        Membership {
            group: Arc::from("g"),
            member_id: client.id.clone(),
            instance_id: client.instance.clone(),
            generation: client.generation,
        }
    }

    fn join(&mut self, number: usize) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.open.insert(ticket, number);
        let client = &mut self.clients[number];
        client.is_alive = true;
        client.doing = Doing::Joining(ticket);
        let request = JoinRequest {
            group: Arc::from("g"),
            member_id: client.id.clone(),
            instance_id: client.instance.clone(),
            client_id: Arc::from("client"),
            client_host: Arc::from("/127.0.0.1"),
            session_timeout: SESSION,
            rebalance_timeout: REBALANCE,
            protocol_type: Arc::from("consumer"),
            protocols: vec![(Arc::from("range"), Bytes::from_static(b"m")), (Arc::from("sticky"), Bytes::new())],
            requires_known_member: self.known_first,
            can_skip_assignment: true,
            gathers: true,
            fresh_member_id: Arc::from(format!("member-{ticket}")),
        };
        let replies = self.groups.join(&request, ticket, self.now);
        self.take(replies);
    }

    fn sync(&mut self, number: usize, joined: &Joined) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.open.insert(ticket, number);
        self.clients[number].doing = Doing::Syncing(ticket);
        let mut assignments = BTreeMap::new();
        if joined.leader == joined.member_id && !joined.skip_assignment {
            let known = self.leaders.insert(joined.generation, joined.leader.clone());
            assert!(
                known.is_none_or(|known| known == joined.leader),
                "two leaders of generation {}",
                joined.generation
            );
            assert!(joined.members.iter().any(|(id, ..)| *id == joined.member_id));
            for (id, ..) in &joined.members {
                assignments.insert(id.clone(), Bytes::from(format!("{}:{id}", joined.generation)));
            }
        }
        let membership = self.membership(number);
        let replies = self.groups.sync(
            &membership,
            (Some("consumer"), joined.protocol.as_deref()),
            assignments,
            ticket,
            self.now,
        );
        self.take(replies);
    }

    fn take(&mut self, replies: Replies) {
        for (ticket, answer) in replies {
            let number = self.open.remove(&ticket).expect("one answer per request");
            let client = &mut self.clients[number];
            let is_current = match client.doing {
                Doing::Joining(current) | Doing::Syncing(current) => current == ticket,
                Doing::Nothing | Doing::Working => false,
            };
            if !is_current || !client.is_alive {
                continue;
            }
            match answer {
                Answer::Join(joined) => self.joined(number, joined),
                Answer::Sync(synced) => self.synced(number, &synced),
            }
        }
    }

    fn joined(&mut self, number: usize, joined: Joined) {
        let client = &mut self.clients[number];
        match joined.error {
            None => {
                client.id = joined.member_id.clone();
                client.generation = joined.generation;
                assert_eq!(joined.protocol.as_deref(), Some("range"));
                self.sync(number, &joined);
            }
            Some(Denied::MemberIdRequired) => {
                client.id = joined.member_id;
                self.join(number);
            }
            Some(error) => self.failed(number, error),
        }
    }

    fn synced(&mut self, number: usize, synced: &Synced) {
        match synced.error {
            None => {
                let client = &mut self.clients[number];
                client.doing = Doing::Working;
                let assignment = String::from_utf8(synced.assignment.to_vec()).unwrap();
                // A static member that came back has the assignment of its former self.
                if client.instance.is_none() {
                    assert_eq!(assignment, format!("{}:{}", client.generation, client.id));
                }
            }
            Some(error) => self.failed(number, error),
        }
    }

    fn failed(&mut self, number: usize, error: Denied) {
        let client = &mut self.clients[number];
        client.doing = Doing::Nothing;
        if error == Denied::UnknownMember {
            client.id = Arc::from("");
        }
        assert_ne!(error, Denied::FencedInstance, "nobody has a twin here");
    }

    fn heartbeat(&mut self, number: usize) {
        let membership = self.membership(number);
        let (result, replies) = self.groups.heartbeat(&membership, self.now);
        self.take(replies);
        if let Err(error) = result {
            self.failed(number, error);
        }
    }

    fn leave(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.is_alive = false;
        let (id, instance) = (std::mem::replace(&mut client.id, Arc::from("")), client.instance.clone());
        let (_, replies) = self.groups.leave("g", &id, instance.as_deref(), self.now);
        self.take(replies);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let replies = self.groups.tick(self.now);
        self.take(replies);
        assert!(self.groups.next_deadline().is_none_or(|next| next > self.now), "nothing is overdue after a tick");
    }

    /// Everybody alive behaves; enough time passes for everybody else to be given up.
    fn settle(&mut self) {
        for _ in 0..1000 {
            for number in 0..self.clients.len() {
                if self.clients[number].is_alive {
                    match self.clients[number].doing {
                        Doing::Nothing => self.join(number),
                        Doing::Working => self.heartbeat(number),
                        Doing::Joining(_) | Doing::Syncing(_) => {}
                    }
                }
            }
            self.pass(Duration::from_millis(500));
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Join(usize),
    Heartbeat(usize),
    Leave(usize),
    Kill(usize),
    MissAnswer(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4usize).prop_map(Event::Join),
        4 => (0..4usize).prop_map(Event::Heartbeat),
        1 => (0..4usize).prop_map(Event::Leave),
        1 => (0..4usize).prop_map(Event::Kill),
        2 => (0..4usize).prop_map(Event::MissAnswer),
        4 => (1..15_000u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn every_history_ends_in_one_generation_of_those_who_live(
        events in prop::collection::vec(event(), 0..60),
        statics in 0..3usize,
        known_first in any::<bool>(),
    ) {
        let mut world = World::new(4, statics, known_first);
        for event in events {
            match event {
                Event::Join(number) => world.join(number),
                Event::Heartbeat(number) if matches!(world.clients[number].doing, Doing::Working) => world.heartbeat(number),
                Event::Heartbeat(_) => {}
                Event::Leave(number) => world.leave(number),
                Event::Kill(number) => world.clients[number].is_alive = false,
                // It asks again under another number, as a client does whose connection broke.
                Event::MissAnswer(number) => {
                    if matches!(world.clients[number].doing, Doing::Joining(_) | Doing::Syncing(_)) {
                        world.clients[number].doing = Doing::Nothing;
                    }
                }
                Event::Pass(time) => world.pass(Duration::from_millis(time)),
            }
        }
        world.settle();
        let living: Vec<&Client> = world.clients.iter().filter(|client| client.is_alive).collect();
        let described = world.groups.describe("g");
        let members = described.as_ref().map_or(0, |group| group.members.len());
        prop_assert_eq!(members, living.len(), "{:?} {:?}", living, described);
        if !living.is_empty() {
            prop_assert_eq!(described.unwrap().state, "Stable");
            for client in &living {
                prop_assert!(matches!(client.doing, Doing::Working), "{:?}", living);
                prop_assert_eq!(client.generation, living[0].generation);
            }
        }
        let waiting: Vec<_> = world.open.values().filter(|number| world.clients[**number].is_alive).collect();
        prop_assert!(waiting.is_empty(), "requests without an answer: {:?}", world.open);
    }
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_twin() {
    let mut world = World::new(2, 2, true);
    world.join(0);
    world.join(1);
    world.pass(Duration::from_secs(1));
    let generation = world.clients[0].generation;
    let twin = world.membership(0);
    world.clients[0].id = Arc::from("");
    world.join(0);
    assert!(matches!(world.clients[0].doing, Doing::Working), "at once: {:?}", world.clients[0]);
    assert_eq!(world.clients[0].generation, generation);
    assert_eq!(world.groups.heartbeat(&twin, world.now).0, Err(Denied::FencedInstance));
    assert_eq!(world.groups.may_commit(&twin, false, world.now).0, Err(Denied::FencedInstance));
    assert_eq!(world.groups.heartbeat(&world.membership(1), world.now).0, Ok(()));
}

#[test]
fn who_may_commit() {
    let mut world = World::new(1, 0, true);
    let nobody = Membership { group: Arc::from("g"), member_id: Arc::from(""), instance_id: None, generation: -1 };
    assert_eq!(world.groups.may_commit(&nobody, false, world.now).0, Ok(()), "no members: tools may");
    world.join(0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.groups.may_commit(&nobody, false, world.now).0, Err(Denied::UnknownMember));
    let member = world.membership(0);
    assert_eq!(world.groups.may_commit(&member, false, world.now).0, Ok(()));
    let former = Membership { generation: member.generation - 1, ..member.clone() };
    assert_eq!(world.groups.may_commit(&former, true, world.now).0, Err(Denied::IllegalGeneration));
    world.now += SESSION;
    assert_eq!(world.groups.may_commit(&member, true, world.now).0, Err(Denied::IllegalGeneration), "given up");
}

#[test]
fn limits_hold() {
    let mut world = World::new(12, 0, false);
    (0..12).for_each(|number| world.join(number));
    world.pass(Duration::from_secs(1));
    let working = world.clients.iter().filter(|client| matches!(client.doing, Doing::Working)).count();
    assert_eq!(working, 10, "no more than max_members");
}
