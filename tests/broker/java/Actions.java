import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.DeleteRecordsResult;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A script of what Kafka's own client does. Prints one line of JSON for each action: its name and what came of it, an
 * answer or the name of an error. Names of this run stand in no answer, so the lines of two brokers can be compared.
 *
 * <p>Run as {@code java -cp 'libs/*' Actions.java host:port}.
 */
public final class Actions {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What is not there by then does not come. */
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    /** Within the week that Kafka keeps records by default. */
    private static final long TIME_MS = (System.currentTimeMillis() / 1000 - 3600) * 1000;

    private final String bootstrap;
    private final String run = UUID.randomUUID().toString().substring(0, 8);
    private final Admin admin;

    private Actions(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) throws Exception {
        Actions script = new Actions(arguments[0]);
        script.topics();
        script.settings();
        script.records();
        script.places();
        script.groups();
        script.transactions();
        script.unknown();
        script.admin.close();
    }

    // -- how actions are told ------------------------------------------------------------------------------------

    private String name(String name) {
        return "java-" + run + "-" + name;
    }

    /** Does something and prints what came of it. */
    private static void note(String what, Callable<?> act) throws Exception {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("what", what);
        try {
            line.put("answer", act.call());
        } catch (Exception error) {
            line.put("error", cause(error).getClass().getSimpleName());
        }
        System.out.println(JSON.writeValueAsString(line));
    }

    /** What the broker said, without what futures and producers wrap around it. */
    private static Throwable cause(Throwable error) {
        boolean wraps = error instanceof ExecutionException
                || error instanceof CompletionException
                || error.getClass() == KafkaException.class;
        return wraps && error.getCause() != null ? cause(error.getCause()) : error;
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    /** Waits for what a broker shows a moment after it has said yes. */
    private static void until(Condition condition) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            try {
                if (condition.holds()) {
                    return;
                }
            } catch (ExecutionException error) {
                // Not there yet.
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("waited too long");
            }
            Thread.sleep(50);
        }
    }

    // -- clients -------------------------------------------------------------------------------------------------

    private Producer<byte[], byte[]> producer(Object... options) {
        Map<String, Object> all = all(options);
        all.putIfAbsent("linger.ms", 5);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private Consumer<byte[], byte[]> consumer(Object... options) {
        Map<String, Object> all = all(options);
        all.putIfAbsent("auto.offset.reset", "earliest");
        all.putIfAbsent("isolation.level", "read_committed");
        all.put("enable.auto.commit", false);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Map<String, Object> all(Object... options) {
        Map<String, Object> all = new TreeMap<>();
        all.put("bootstrap.servers", bootstrap);
        for (int index = 0; index < options.length; index += 2) {
            all.put((String) options[index], options[index + 1]);
        }
        return all;
    }

    private void create(String topic, int partitions, Map<String, String> settings) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(settings))).all().get();
        until(() -> described(topic).partitions().size() == partitions);
    }

    private TopicDescription described(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    /** What lies in partition 0 now, up to the end that this reader sees. */
    private List<ConsumerRecord<byte[], byte[]>> read(String topic, String isolation) {
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Consumer<byte[], byte[]> reader = consumer("isolation.level", isolation)) {
            reader.assign(List.of(partition));
            long end = reader.endOffsets(List.of(partition)).get(partition);
            reader.seekToBeginning(List.of(partition));
            while (reader.position(partition) < end) {
                reader.poll(Duration.ofMillis(200)).forEach(found::add);
            }
        }
        return found;
    }

    private List<String> values(String topic, String isolation) {
        return read(topic, isolation).stream().map(one -> text(one.value())).toList();
    }

    // -- actions -------------------------------------------------------------------------------------------------

    /** Create, describe, grow, refuse, delete. */
    private void topics() throws Exception {
        String topic = name("topics");
        note("create", () -> {
            var made = admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1)));
            made.all().get();
            return List.of(made.numPartitions(topic).get(), made.replicationFactor(topic).get());
        });
        until(() -> described(topic).partitions().size() == 3);
        note("create again", () -> admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all().get());
        note("create with three copies", () -> create(new NewTopic(name("copies"), 1, (short) 3)));
        note("create on a named node", () -> create(new NewTopic(name("placed"), Map.of(0, List.of(1)))));
        note("create on no node", () -> create(new NewTopic(name("misplaced"), Map.of(0, List.of(77)))));
        NewTopic bad = new NewTopic(name("bad"), 1, (short) 1).configs(Map.of("no.such", "1"));
        note("create with a bad setting", () -> create(bad));
        note("create with a bad name", () -> create(new NewTopic("no name", 1, (short) 1)));
        note("describe", () -> described(topic).partitions().stream()
                .map(one -> List.of(one.partition(), one.replicas().size(), one.isr().size(), one.leader().id()))
                .toList());
        note("describe nothing", () -> described(name("nothing")));
        note("listed", () -> admin.listTopics().names().get().contains(topic));
        note("grow", () -> grow(topic, 5));
        until(() -> described(topic).partitions().size() == 5);
        note("shrink", () -> grow(topic, 2));
        note("grow by nothing", () -> grow(topic, 5));
        note("grow nothing", () -> grow(name("nothing"), 5));
        note("nodes", () -> admin.describeCluster().nodes().get().size());
        note("controller", () -> admin.describeCluster().controller().get().id());
        note("delete", () -> admin.deleteTopics(List.of(topic)).all().get());
        until(() -> !admin.listTopics().names().get().contains(topic));
        note("delete again", () -> admin.deleteTopics(List.of(topic)).all().get());
    }

    private Object create(NewTopic topic) throws Exception {
        return admin.createTopics(List.of(topic)).all().get();
    }

    private Object grow(String topic, int partitions) throws Exception {
        return admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(partitions))).all().get();
    }

    /** Settings of a topic: told, changed, refused. */
    private void settings() throws Exception {
        String topic = name("settings");
        create(topic, 1, Map.of("cleanup.policy", "compact", "retention.ms", "3600000"));
        String[] known = {"cleanup.policy", "retention.ms", "max.message.bytes", "message.timestamp.type"};
        for (String setting : known) {
            note("setting " + setting, () -> told(topic, setting));
        }
        note("set", () -> alter(topic, "retention.ms", "7200000", AlterConfigOp.OpType.SET));
        note("append", () -> alter(topic, "cleanup.policy", "delete", AlterConfigOp.OpType.APPEND));
        until(() -> told(topic, "cleanup.policy").contains("compact,delete"));
        note("after set and append", () -> List.of(told(topic, "retention.ms"), told(topic, "cleanup.policy")));
        note("subtract", () -> alter(topic, "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT));
        note("append to a number", () -> alter(topic, "retention.ms", "1", AlterConfigOp.OpType.APPEND));
        note("delete a setting", () -> alter(topic, "retention.ms", "", AlterConfigOp.OpType.DELETE));
        note("set nonsense", () -> alter(topic, "retention.ms", "soon", AlterConfigOp.OpType.SET));
        note("set what is unknown", () -> alter(topic, "no.such", "1", AlterConfigOp.OpType.SET));
        note("set on nothing", () -> alter(name("nothing"), "retention.ms", "1", AlterConfigOp.OpType.SET));
    }

    private List<String> told(String topic, String setting) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        ConfigEntry entry = admin.describeConfigs(List.of(resource)).all().get().get(resource).get(setting);
        return List.of(entry.value(), entry.source().name(), entry.type().name());
    }

    private Object alter(String topic, String setting, String value, AlterConfigOp.OpType how) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry(setting, value), how);
        return admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
    }

    /** Write and read, by all codecs and all kinds of acknowledgement; refuse. */
    private void records() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = name(codec);
            create(topic, 1, Map.of());
            try (Producer<byte[], byte[]> producer = producer("compression.type", codec)) {
                note(codec + ": reports", () -> reports(producer, topic));
            }
            note(codec + ": records", () -> read(topic, "read_committed").stream().map(Actions::told).toList());
        }
        for (String acks : List.of("0", "1")) {
            String topic = name("acks-" + acks);
            create(topic, 1, Map.of());
            try (Producer<byte[], byte[]> producer = producer("acks", acks, "enable.idempotence", false)) {
                note("acks " + acks, () -> reports(producer, topic));
            }
            until(() -> read(topic, "read_committed").size() == 6);
        }
        String stamped = name("stamped");
        create(stamped, 1, Map.of("message.timestamp.type", "LogAppendTime"));
        try (Producer<byte[], byte[]> producer = producer()) {
            note("time of the append: report", () -> {
                ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(stamped, 0, TIME_MS, null, bytes("x"));
                return producer.send(record).get().timestamp() > TIME_MS;
            });
        }
        note("time of the append: record", () -> {
            ConsumerRecord<byte[], byte[]> one = read(stamped, "read_committed").get(0);
            return List.of(one.timestampType().name(), one.timestamp() > TIME_MS);
        });
        String compacted = name("compacted"), small = name("small");
        create(compacted, 1, Map.of("cleanup.policy", "compact"));
        create(small, 1, Map.of("max.message.bytes", "1000"));
        try (Producer<byte[], byte[]> producer = producer("max.block.ms", 1000)) {
            note("no key in a compacted topic", () -> producer.send(new ProducerRecord<>(compacted, bytes("x"))).get());
            note("too large for the topic", () -> producer.send(new ProducerRecord<>(small, new byte[2000])).get());
            ProducerRecord<byte[], byte[]> astray = new ProducerRecord<>(small, 7, null, bytes("x"));
            note("a partition that is not there", () -> producer.send(astray).get());
            note("after errors", () -> producer.send(new ProducerRecord<>(small, bytes("x"))).get().offset());
        }
    }

    /** Null is not empty, names of headers come twice, times are the producer's. */
    private static List<Object> reports(Producer<byte[], byte[]> producer, String topic) throws Exception {
        String[][] given = {{"k", "v".repeat(100)}, {"k", null}, {null, ""}, {"", "x"}, {null, null}, {"é", "ü"}};
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int index = 0; index < given.length; index++) {
            List<Header> headers = new ArrayList<>();
            headers.add(new RecordHeader("h", bytes("1")));
            headers.add(new RecordHeader("h", (byte[]) null));
            headers.add(new RecordHeader("é", bytes("")));
            List<Header> some = headers.subList(0, index % 4);
            byte[] key = bytes(given[index][0]), value = bytes(given[index][1]);
            sent.add(producer.send(new ProducerRecord<>(topic, 0, TIME_MS + index * 10, key, value, some)));
        }
        producer.flush();
        List<Object> found = new ArrayList<>();
        for (Future<RecordMetadata> one : sent) {
            RecordMetadata report = one.get();
            found.add(List.of(report.partition(), report.offset(), report.timestamp() - TIME_MS));
        }
        return found;
    }

    private static List<Object> told(ConsumerRecord<byte[], byte[]> one) {
        List<Object> headers = new ArrayList<>();
        one.headers().forEach(header -> headers.add(Arrays.asList(header.key(), text(header.value()))));
        return Arrays.asList(
                one.offset(),
                text(one.key()),
                text(one.value()),
                headers,
                one.timestamp() - TIME_MS,
                one.timestampType().name(),
                one.leaderEpoch().orElse(null));
    }

    /** Offsets by name and by time, records taken away, reading where nothing is. */
    private void places() throws Exception {
        String topic = name("none");
        TopicPartition partition = new TopicPartition(topic, 0);
        note("earliest", () -> place(partition, OffsetSpec.earliest()));
        note("latest", () -> place(partition, OffsetSpec.latest()));
        note("the largest time", () -> place(partition, OffsetSpec.maxTimestamp()));
        for (long after : List.of(-1000L, 15L, 50L, 51L)) {
            note("the time " + after, () -> place(partition, OffsetSpec.forTimestamp(TIME_MS + after)));
        }
        note("latest of nothing", () -> place(new TopicPartition(name("nothing"), 0), OffsetSpec.latest()));
        try (Consumer<byte[], byte[]> reader = consumer()) {
            note("begin and end", () -> List.of(
                    reader.beginningOffsets(List.of(partition)).get(partition),
                    reader.endOffsets(List.of(partition)).get(partition)));
            note("partitions of a reader", () -> reader.partitionsFor(topic).size());
            reader.assign(List.of(partition));
            reader.seek(partition, 4);
            note("lag", () -> {
                until(() -> reader.poll(Duration.ofMillis(200)).count() > 0);
                return List.of(reader.position(partition), reader.currentLag(partition).orElse(-1));
            });
        }
        note("take records away", () -> {
            DeleteRecordsResult taken = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(3)));
            return taken.lowWatermarks().get(partition).get().lowWatermark();
        });
        Map<TopicPartition, RecordsToDelete> all = Map.of(partition, RecordsToDelete.beforeOffset(100));
        note("take too many away", () -> admin.deleteRecords(all).all().get());
        note("earliest after that", () -> place(partition, OffsetSpec.earliest()));
        note("records after that", () -> read(topic, "read_committed").stream().map(ConsumerRecord::offset).toList());
        try (Consumer<byte[], byte[]> reader = consumer("auto.offset.reset", "none", "group.id", name("nowhere"))) {
            reader.assign(List.of(partition));
            note("read from nowhere", () -> reader.poll(Duration.ofSeconds(5)).count());
            for (long offset : List.of(1L, 100L)) {
                reader.seek(partition, offset);
                note("read at " + offset, () -> polled(reader));
            }
        }
    }

    private List<Object> place(TopicPartition partition, OffsetSpec which) throws Exception {
        ListOffsetsResultInfo found = admin.listOffsets(Map.of(partition, which)).partitionResult(partition).get();
        long time = found.timestamp() < 0 ? found.timestamp() : found.timestamp() - TIME_MS;
        return Arrays.asList(found.offset(), time, found.leaderEpoch().orElse(null));
    }

    private static int polled(Consumer<byte[], byte[]> reader) {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        int count = 0;
        while (count == 0 && System.nanoTime() < deadline) {
            count = reader.poll(Duration.ofMillis(200)).count();
        }
        return count;
    }

    /** Join, commit, describe, fence, leave, delete. */
    private void groups() throws Exception {
        String topic = name("of-group"), group = name("group");
        TopicPartition first = new TopicPartition(topic, 0);
        create(topic, 2, Map.of());
        note("describe no group", () -> described(group, topic));
        note("offsets of no group", () -> positions(group).size());
        note("delete no group", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
        Object[] impatience = {"group.id", name("hasty"), "session.timeout.ms", 500, "heartbeat.interval.ms", 100};
        try (Consumer<byte[], byte[]> hasty = consumer(impatience)) {
            hasty.subscribe(List.of(topic));
            note("a session too short", () -> hasty.poll(Duration.ofSeconds(10)).count());
        }
        String cooperative = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        // Heartbeats rarely, so that a member learns from its next commit that it was replaced, and not before.
        Object[] options = {
            "group.id", group, "group.instance.id", "one", "client.id", "reader",
            "session.timeout.ms", 60_000, "heartbeat.interval.ms", 50_000,
            "partition.assignment.strategy", cooperative
        };
        Consumer<byte[], byte[]> member = consumer(options);
        member.subscribe(List.of(topic));
        until(() -> {
            member.poll(Duration.ofMillis(100));
            return member.assignment().size() == 2;
        });
        note("described", () -> described(group, topic));
        note("listed group", () -> admin.listGroups().all().get().stream()
                .filter(one -> one.groupId().equals(group))
                .map(one -> Arrays.asList(one.protocol(), one.type().toString(), one.groupState().toString()))
                .toList());
        note("nothing is committed", () -> member.committed(Set.of(first)).get(first));
        Map<TopicPartition, OffsetAndMetadata> at = Map.of(first, new OffsetAndMetadata(5, Optional.of(0), "here"));
        note("commit offsets", () -> {
            member.commitSync(at);
            return told(member.committed(Set.of(first)).get(first));
        });
        var astray = Map.of(new TopicPartition(name("nothing"), 0), new OffsetAndMetadata(1));
        note("commit for no topic", () -> nothing(() -> member.commitSync(astray, Duration.ofSeconds(2))));
        try (Consumer<byte[], byte[]> stranger = consumer("group.id", group)) {
            stranger.assign(List.of(first));
            note("commit of a stranger", () -> nothing(() -> stranger.commitSync(at)));
        }
        note("offsets by admin of a living group", () -> admin.alterConsumerGroupOffsets(group, at).all().get());
        note("delete offsets that are read", () -> admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get());
        note("delete a living group", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
        try (Consumer<byte[], byte[]> successor = consumer(options)) {
            successor.subscribe(List.of(topic));
            until(() -> {
                successor.poll(Duration.ofMillis(100));
                return successor.assignment().size() == 2;
            });
            note("commit of a static member that was replaced", () -> nothing(() -> member.commitSync(at)));
        }
        member.close(CloseOptions.timeout(Duration.ofSeconds(1)));
        note("described when static members are away", () -> described(group, topic));
        var away = new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("one")));
        note("remove a static member", () -> admin.removeMembersFromConsumerGroup(group, away).all().get());
        note("described when empty", () -> described(group, topic));
        var further = Map.of(first, new OffsetAndMetadata(7, "admin"));
        note("offsets by admin", () -> admin.alterConsumerGroupOffsets(group, further).all().get());
        note("offsets", () -> positions(group));
        note("delete offsets", () -> admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get());
        note("offsets after that", () -> positions(group));
        note("delete the group", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
        note("describe what was deleted", () -> described(group, topic));
    }

    private List<List<Object>> positions(String group) throws Exception {
        var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        return found.values().stream().map(Actions::told).toList();
    }

    private static List<Object> told(OffsetAndMetadata position) {
        return Arrays.asList(position.offset(), position.metadata(), position.leaderEpoch().orElse(null));
    }

    private List<Object> described(String group, String topic) throws Exception {
        ConsumerGroupDescription found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        List<Object> members = new ArrayList<>();
        for (MemberDescription member : found.members()) {
            Collection<TopicPartition> owned = member.assignment().topicPartitions();
            List<Integer> partitions = owned.stream()
                    .filter(one -> one.topic().equals(topic))
                    .map(TopicPartition::partition)
                    .sorted()
                    .toList();
            String instance = member.groupInstanceId().orElse(null);
            members.add(Arrays.asList(member.clientId(), instance, member.host(), partitions));
        }
        return List.of(found.groupState().toString(), found.partitionAssignor(), members);
    }

    /** Abort, commit, move offsets, fence. */
    private void transactions() throws Exception {
        String topic = name("of-transactions"), group = name("of-offsets"), id = name("id");
        TopicPartition partition = new TopicPartition(topic, 0);
        create(topic, 1, Map.of());
        Producer<byte[], byte[]> first = producer("transactional.id", id, "transaction.timeout.ms", 20_000);
        note("init", () -> nothing(first::initTransactions));
        for (String end : List.of("abort", "commit")) {
            first.beginTransaction();
            note(end + ": reports", () -> {
                List<Long> offsets = new ArrayList<>();
                for (int number = 0; number < 3; number++) {
                    offsets.add(first.send(new ProducerRecord<>(topic, bytes(end + "-" + number))).get().offset());
                }
                return offsets;
            });
            note(end + ": open", () -> values(topic, "read_committed"));
            Map<TopicPartition, OffsetAndMetadata> at = Map.of(partition, new OffsetAndMetadata(3, end));
            ConsumerGroupMetadata reader = new ConsumerGroupMetadata(group);
            note(end + ": offsets", () -> nothing(() -> first.sendOffsetsToTransaction(at, reader)));
            note(end, () -> nothing(end.equals("abort") ? first::abortTransaction : first::commitTransaction));
            note(end + ": ended", () -> values(topic, "read_committed"));
            note(end + ": positions", () -> positions(group));
        }
        note("uncommitted", () -> values(topic, "read_uncommitted"));
        note("end", () -> place(partition, OffsetSpec.latest()));
        first.beginTransaction();
        ConsumerGroupMetadata gone = new ConsumerGroupMetadata(group, 5, "who left", Optional.empty());
        note("offsets of who left", () -> nothing(() ->
                first.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(9)), gone)));
        note("abort after it", () -> nothing(first::abortTransaction));
        Producer<byte[], byte[]> second = producer("transactional.id", id);
        first.beginTransaction();
        first.send(new ProducerRecord<>(topic, bytes("zombie"))).get();
        note("take over", () -> nothing(second::initTransactions));
        note("commit of a zombie", () -> nothing(first::commitTransaction));
        note("begin as a zombie", () -> nothing(first::beginTransaction));
        first.close(Duration.ZERO);
        note("the transaction of who took over", () -> {
            second.beginTransaction();
            second.send(new ProducerRecord<>(topic, bytes("second"))).get();
            second.commitTransaction();
            return values(topic, "read_committed");
        });
        note("fence by admin", () -> admin.fenceProducers(List.of(id)).all().get());
        note("send when fenced", () -> {
            second.beginTransaction();
            second.send(new ProducerRecord<>(topic, bytes("fenced"))).get();
            return null;
        });
        second.close(Duration.ZERO);
        note("after the fence", () -> values(topic, "read_committed"));
        Object[] patience = {"transactional.id", name("slow"), "transaction.timeout.ms", 3_600_000};
        try (Producer<byte[], byte[]> slow = producer(patience)) {
            note("a timeout above the broker's", () -> nothing(slow::initTransactions));
        }
        note("a timeout that ends a transaction", this::outlived);
    }

    /** Leaves a transaction open for longer than it may be, then tries to commit it. */
    private Object outlived() throws Exception {
        String topic = name("outlived");
        create(topic, 1, Map.of());
        Object[] haste = {"transactional.id", name("outlived"), "transaction.timeout.ms", 1000};
        try (Producer<byte[], byte[]> producer = producer(haste)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, bytes("late"))).get();
            Thread.sleep(3500);
            producer.commitTransaction();
            return values(topic, "read_committed");
        }
    }

    private interface Act {
        void act() throws Exception;
    }

    private static Object nothing(Act act) throws Exception {
        act.act();
        return null;
    }

    /** What only Kafka has. */
    private void unknown() throws Exception {
        note("transactions by admin", () -> admin.listTransactions().all().get().size() > 0);
        note("log directories", () -> admin.describeLogDirs(List.of(1)).allDescriptions().get().size());
        note("quotas", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().size());
        try (Consumer<byte[], byte[]> modern = consumer("group.id", name("modern"), "group.protocol", "consumer")) {
            modern.subscribe(List.of(name("of-group")));
            note("a group of the newer protocol", () -> {
                until(() -> {
                    modern.poll(Duration.ofMillis(100));
                    return modern.assignment().size() == 2;
                });
                return null;
            });
        }
    }
}
