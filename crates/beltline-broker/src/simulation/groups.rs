//! Consumers that share partitions through the group coordinator.
//!
//! Invariants: in one generation a partition has one owner; offsets are committed by that owner alone, never by one of an
//! earlier generation or of before a restart, and so never go back; when all is quiet everybody works again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beltline_env::{Random, SeededRandom};
use bytes::Bytes;

use super::network::Network;
use super::seeds;
use crate::group::{Answer, Coordinator, Denied, JoinRequest, Joined, Membership, Synced, Ticket};

const CLIENTS: usize = 4;
const PARTITIONS: usize = 6;
const STEPS: usize = 1500;
const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A client asks again after this time; joins wait longer than anybody may take to rejoin.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum Request {
    Join(JoinRequest),
    Sync(Membership, BTreeMap<Arc<str>, Bytes>),
    Heartbeat(Membership),
    Commit(Membership, usize, i64),
    Leave(Arc<str>),
}

/// To the endpoint or back, with the client and the number of what it asked last.
#[derive(Clone, Debug)]
enum Message {
    Request(usize, u64, Request),
    Answer(usize, u64, Answer),
    Refused(usize, u64, Denied),
}

#[derive(Clone, Debug, PartialEq)]
enum Doing {
    Nothing,
    Waiting { since: Duration },
    Working,
}

struct Client {
    id: Arc<str>,
    generation: i32,
    doing: Doing,
    /// Number of the request whose answer counts.
    asked: u64,
    positions: BTreeMap<usize, i64>,
    next_heartbeat: Duration,
    /// Neither acts nor reads until then: it hangs.
    hangs_until: Duration,
    /// Commits of one client take one connection, which keeps them in order.
    last_commit_arrives: Duration,
}

impl Client {
    fn new() -> Client {
        Client {
            id: Arc::from(""),
            generation: -1,
            doing: Doing::Nothing,
            asked: 0,
            positions: BTreeMap::new(),
            next_heartbeat: Duration::ZERO,
            hangs_until: Duration::ZERO,
            last_commit_arrives: Duration::ZERO,
        }
    }
}

/// A run of the endpoint, and a generation in it.
type Term = (u32, i32);

struct World {
    random: SeededRandom,
    now: Duration,
    coordinator: Coordinator,
    restarts: u32,
    network: Network<Message>,
    clients: Vec<Client>,
    tickets: Ticket,
    /// Who waits at the endpoint, and the generation it says it is in.
    waiting: BTreeMap<Ticket, (usize, u64, i32)>,
    owners: BTreeMap<(Term, usize), Arc<str>>,
    committed: BTreeMap<usize, (Term, i64)>,
    commits: usize,
    refused_commits: usize,
    knows_first: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = SeededRandom::new(seed);
        let knows_first = random.once_in(2);
        World {
            random,
            now: Duration::ZERO,
            coordinator: Coordinator::for_tests(),
            restarts: 0,
            network: Network::new(),
            clients: (0..CLIENTS).map(|_| Client::new()).collect(),
            tickets: 0,
            waiting: BTreeMap::new(),
            owners: BTreeMap::new(),
            committed: BTreeMap::new(),
            commits: 0,
            refused_commits: 0,
            knows_first,
        }
    }

    fn send(&mut self, message: Message, earliest: Duration) -> Duration {
        self.network.send(message, earliest, &mut self.random)
    }

    fn membership(&self, number: usize) -> Membership {
        let client = &self.clients[number];
        let (member_id, generation) = (client.id.clone(), client.generation);
        Membership { group: Arc::from("g"), member_id, instance_id: None, generation }
    }

    /// Asks something whose answer the client waits for.
    fn ask(&mut self, number: usize, request: Request) {
        let client = &mut self.clients[number];
        client.asked += 1;
        client.doing = Doing::Waiting { since: self.now };
        let message = Message::Request(number, client.asked, request);
        self.send(message, self.now);
    }

    fn join(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.positions.clear();
        let fresh = self.random.next_u64();
        let request = JoinRequest {
            group: Arc::from("g"),
            member_id: client.id.clone(),
            instance_id: None,
            client_id: Arc::from("client"),
            client_host: Arc::from("/127.0.0.1"),
            session_timeout: SESSION,
            rebalance_timeout: REBALANCE,
            protocol_type: Arc::from("consumer"),
            protocols: vec![(Arc::from("range"), Bytes::from_static(b"m"))],
            requires_known_member: self.knows_first,
            gathers: true,
            can_skip_assignment: false,
            fresh_member_id: Arc::from(format!("member-{fresh:x}")),
        };
        self.ask(number, Request::Join(request));
    }

    fn act(&mut self, number: usize) {
        if self.now < self.clients[number].hangs_until {
            return;
        }
        match self.clients[number].doing {
            Doing::Nothing => self.join(number),
            Doing::Waiting { since } if self.now >= since + PATIENCE => self.join(number),
            Doing::Waiting { .. } => {}
            Doing::Working => self.work(number),
        }
    }

    fn work(&mut self, number: usize) {
        if self.now >= self.clients[number].next_heartbeat {
            self.clients[number].next_heartbeat = self.now + HEARTBEAT;
            let message =
                Message::Request(number, self.clients[number].asked, Request::Heartbeat(self.membership(number)));
            self.send(message, self.now);
        }
        if self.random.once_in(3) {
            let membership = self.membership(number);
            let asked = self.clients[number].asked;
            let steps = 1 + self.random.below(5) as i64;
            let positions: Vec<(usize, i64)> = {
                let positions = &mut self.clients[number].positions;
                positions.values_mut().for_each(|position| *position += steps);
                positions.iter().map(|(partition, position)| (*partition, *position)).collect()
            };
            for (partition, position) in positions {
                let request = Request::Commit(membership.clone(), partition, position);
                let earliest = self.now.max(self.clients[number].last_commit_arrives);
                let arrives = self.send(Message::Request(number, asked, request), earliest);
                self.clients[number].last_commit_arrives = arrives;
            }
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Request(number, asked, request) => self.serve(number, asked, request),
            Message::Answer(number, asked, answer) if self.waits(number, asked) => match answer {
                Answer::Join(joined) => self.joined(number, joined),
                Answer::Sync(synced) => self.synced(number, &synced),
            },
            Message::Refused(number, asked, error) if self.listens(number, asked) => self.failed(number, error),
            Message::Answer(..) | Message::Refused(..) => {}
        }
    }

    fn listens(&self, number: usize, asked: u64) -> bool {
        self.clients[number].asked == asked && self.now >= self.clients[number].hangs_until
    }

    /// Whether an answer is for the request that the client waits for; a second one is not.
    fn waits(&self, number: usize, asked: u64) -> bool {
        self.listens(number, asked) && matches!(self.clients[number].doing, Doing::Waiting { .. })
    }

    /// What the endpoint does with a request.
    fn serve(&mut self, number: usize, asked: u64, request: Request) {
        let now = self.now;
        let (result, replies) = match request {
            Request::Join(request) => {
                let ticket = self.wait(number, asked, -1);
                (Ok(()), self.coordinator.join(&request, ticket, now))
            }
            Request::Sync(membership, assignments) => {
                let ticket = self.wait(number, asked, membership.generation);
                (Ok(()), self.coordinator.sync(&membership, (None, None), assignments, ticket, now))
            }
            Request::Heartbeat(membership) => self.coordinator.heartbeat(&membership, now),
            Request::Leave(id) => self.coordinator.leave("g", &id, None, now),
            Request::Commit(membership, partition, offset) => {
                let (result, replies) = self.coordinator.may_commit(&membership, false, now);
                match result {
                    Ok(()) => self.commit(&membership, partition, offset),
                    Err(_) => self.refused_commits += 1,
                }
                (result, replies)
            }
        };
        if let Err(error) = result {
            self.send(Message::Refused(number, asked, error), now);
        }
        self.deliver(replies);
    }

    fn wait(&mut self, number: usize, asked: u64, generation: i32) -> Ticket {
        self.tickets += 1;
        self.waiting.insert(self.tickets, (number, asked, generation));
        self.tickets
    }

    fn deliver(&mut self, replies: Vec<(Ticket, Answer)>) {
        for (ticket, answer) in replies {
            let (number, asked, generation) = self.waiting.remove(&ticket).expect("one answer to each request");
            if let Answer::Sync(synced) = &answer
                && synced.error.is_none()
            {
                self.given(generation, &synced.assignment);
            }
            self.send(Message::Answer(number, asked, answer), self.now);
        }
    }

    /// The endpoint gives partitions to a member: nobody else was given them in this generation.
    fn given(&mut self, generation: i32, assignment: &Bytes) {
        let Some((member, partitions)) = parse(assignment) else { return };
        for partition in partitions {
            let known = self.owners.insert(((self.restarts, generation), partition), member.clone());
            assert!(known.is_none_or(|known| known == member), "two owners of {partition} in generation {generation}");
        }
    }

    /// The endpoint takes an offset.
    fn commit(&mut self, membership: &Membership, partition: usize, offset: i64) {
        let term = (self.restarts, membership.generation);
        let owner = self.owners.get(&(term, partition));
        assert_eq!(owner, Some(&membership.member_id), "a commit for {partition} by who does not own it in {term:?}");
        if let Some((earlier, committed)) = self.committed.get(&partition) {
            assert!(term >= *earlier, "{term:?} commits {partition} after {earlier:?}");
            assert!(offset >= *committed, "{partition} goes back from {committed} to {offset} in {term:?}");
        }
        self.committed.insert(partition, (term, offset));
        self.commits += 1;
    }

    fn joined(&mut self, number: usize, joined: Joined) {
        if let Some(error) = joined.error {
            if error == Denied::MemberIdRequired {
                self.clients[number].id = joined.member_id;
            }
            return self.failed(number, error);
        }
        let client = &mut self.clients[number];
        client.id = joined.member_id.clone();
        client.generation = joined.generation;
        let mut assignments = BTreeMap::new();
        if joined.leader == joined.member_id {
            for (place, (id, ..)) in joined.members.iter().enumerate() {
                let its = (0..PARTITIONS).filter(|partition| partition % joined.members.len() == place);
                let its: Vec<String> = its.map(|partition| partition.to_string()).collect();
                assignments.insert(id.clone(), Bytes::from(format!("{id}:{}", its.join(","))));
            }
        }
        let membership = self.membership(number);
        self.ask(number, Request::Sync(membership, assignments));
    }

    fn synced(&mut self, number: usize, synced: &Synced) {
        if let Some(error) = synced.error {
            return self.failed(number, error);
        }
        let Some((_, partitions)) = parse(&synced.assignment) else {
            return self.failed(number, Denied::UnknownMember);
        };
        let at = |partition: usize| (partition, self.committed.get(&partition).map_or(0, |(_, offset)| *offset));
        let positions = partitions.into_iter().map(at).collect();
        let client = &mut self.clients[number];
        client.positions = positions;
        client.doing = Doing::Working;
        client.next_heartbeat = self.now;
    }

    fn failed(&mut self, number: usize, error: Denied) {
        let client = &mut self.clients[number];
        if error == Denied::UnknownMember {
            client.id = Arc::from("");
        }
        client.doing = Doing::Nothing;
        client.positions.clear();
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1 + self.random.below(700));
        let replies = self.coordinator.tick(self.now);
        self.deliver(replies);
        for message in self.network.arrived(self.now) {
            self.receive(message);
        }
        for number in 0..CLIENTS {
            self.act(number);
        }
    }

    /// Something that may happen to anybody.
    fn strike(&mut self) {
        let number = self.random.below(CLIENTS as u64) as usize;
        match self.random.below(4) {
            0 => {
                // Killed, and started again: it knows nothing of its former self, whose messages are still under way.
                let asked = self.clients[number].asked + 1;
                self.clients[number] = Client { asked, ..Client::new() };
            }
            1 => self.clients[number].hangs_until = self.now + Duration::from_millis(self.random.below(30_000)),
            2 => {
                let id = self.clients[number].id.clone();
                let asked = self.clients[number].asked + 1;
                self.clients[number] = Client { asked, ..Client::new() };
                self.send(Message::Request(number, 0, Request::Leave(id)), self.now);
            }
            _ => {
                // The endpoint's process: connections break, offsets stay.
                self.coordinator = Coordinator::for_tests();
                self.waiting.clear();
                self.restarts += 1;
            }
        }
    }

    fn come_to_rest(&mut self) {
        self.network.is_bad = false;
        for _ in 0..600 {
            self.step();
        }
    }
}

/// Whose an assignment is, and its partitions.
fn parse(assignment: &Bytes) -> Option<(Arc<str>, Vec<usize>)> {
    let (member, list) = std::str::from_utf8(assignment).ok()?.split_once(':')?;
    Some((Arc::from(member), list.split(',').filter_map(|number| number.parse().ok()).collect()))
}

#[test]
fn a_partition_has_one_owner_and_its_offset_never_goes_back() {
    let (mut commits, mut refused, mut restarts) = (0, 0, 0);
    for seed in seeds() {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            if world.random.once_in(60) {
                world.strike();
            }
            world.step();
        }
        world.come_to_rest();
        let mut owned: Vec<usize> = Vec::new();
        for client in &world.clients {
            assert_eq!(client.doing, Doing::Working, "seed {seed}");
            assert_eq!(client.generation, world.clients[0].generation, "seed {seed}");
            owned.extend(client.positions.keys());
        }
        owned.sort_unstable();
        assert_eq!(owned, (0..PARTITIONS).collect::<Vec<_>>(), "seed {seed}");
        commits += world.commits;
        refused += world.refused_commits;
        restarts += world.restarts;
    }
    let runs = seeds().len();
    assert!(commits > 100 * runs && refused > runs && restarts as usize > runs, "{commits} {refused} {restarts}");
}
