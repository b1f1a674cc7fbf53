import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.StringJoiner;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams, the same jobs: {@code java StreamsJob map|produce|count GUARANTEE TOPIC OUT COUNT}.
 *
 * <p>The job runs twice in one process, as two applications; the second, warm one is reported. One thread, commits every
 * 100 ms, the table in memory with its changelog on the brokers, everything else as it comes.
 */
public final class StreamsJob {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String SERVERS = System.getenv("BELTLINE_TEST_KAFKA");
    private static final int PARTITIONS = 4;
    private static final long PATIENCE_S = 100;

    private record Order(
            @JsonProperty("account") String account,
            @JsonProperty("amount") double amount,
            @JsonProperty("country") String country,
            @JsonProperty("order_id") String orderId,
            @JsonProperty("ts") long ts,
            @JsonProperty("qty") long qty) {}

    private record Sum(@JsonProperty("account") String account, @JsonProperty("total") double total) {}

    private final String job;
    private final String topic;
    private final String out;
    private final long count;
    private final CountDownLatch done = new CountDownLatch(1);

    // Written by the one stream thread, read after `done`.
    private long seen;
    private long pieces;
    private long began;
    private long ended;
    private long cpuBegan;
    private long cpuEnded;

    private StreamsJob(String job, String topic, String out, long count) {
        this.job = job;
        this.topic = topic;
        this.out = out;
        this.count = count;
    }

    public static void main(String[] words) throws Exception {
        String job = words[0], guarantee = words[1], topic = words[2], out = words[3];
        long count = Long.parseLong(words[4]);
        // What is written to warm up goes to a topic of its own.
        String warming = out + "-warming";
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", SERVERS))) {
            admin.createTopics(List.of(new NewTopic(warming, PARTITIONS, (short) 1))).all().get();
            new StreamsJob(job, topic, warming, count).run(guarantee);
            admin.deleteTopics(List.of(warming)).all().get();
        }
        System.out.println(new StreamsJob(job, topic, out, count).run(guarantee));
    }

    private String run(String guarantee) throws Exception {
        File folder = Files.createTempDirectory("beltline-bench-streams-").toFile();
        try (KafkaStreams streams = new KafkaStreams(topology().build(), settings(guarantee, folder))) {
            streams.start();
            if (!done.await(PATIENCE_S, TimeUnit.SECONDS)) {
                throw new IllegalStateException(seen + " of " + count + " events after " + PATIENCE_S + " s");
            }
            String totals = job.equals("count") ? counts(streams) : "{\"pieces\": " + pieces + "}";
            return String.format(
                    "{\"events\": %d, \"seconds\": %s, \"cpu_seconds\": %s, \"resident_mib\": %d, \"totals\": %s}",
                    count, (ended - began) / 1e9, (cpuEnded - cpuBegan) / 1e9, residentMib(), totals);
        } finally {
            remove(folder);
        }
    }

    private Properties settings(String guarantee, File folder) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, out + "-streams");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, SERVERS);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder.getPath());
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
                guarantee.equals("exactly_once") ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        settings.put("auto.offset.reset", "earliest");
        return settings;
    }

    private StreamsBuilder topology() {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Order> orders =
                builder.stream(topic, Consumed.with(Serdes.String(), serde(Order.class)));
        switch (job) {
            case "map" -> orders.foreach((key, order) -> see(order.qty()));
            case "produce" -> orders
                    .mapValues(order -> {
                        see(order.qty());
                        return new Sum(order.account(), order.amount() * order.qty());
                    })
                    .to(out, Produced.with(Serdes.String(), serde(Sum.class)));
            case "count" -> orders
                    .groupByKey(Grouped.with(Serdes.String(), serde(Order.class)))
                    .aggregate(
                            () -> 0L,
                            (key, order, total) -> {
                                see(order.qty());
                                return total + 1;
                            },
                            Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts"))
                                    .withKeySerde(Serdes.String())
                                    .withValueSerde(Serdes.Long()));
            default -> throw new IllegalArgumentException(job);
        }
        return builder;
    }

    private void see(long qty) {
        if (seen == 0) {
            began = System.nanoTime();
            cpuBegan = cpu();
        }
        pieces += qty;
        if (++seen == count) {
            ended = System.nanoTime();
            cpuEnded = cpu();
            done.countDown();
        }
    }

    private String counts(KafkaStreams streams) throws InterruptedException {
        // The last event is counted on the stream's thread just after it was seen.
        Thread.sleep(500);
        var store = streams.store(
                StoreQueryParameters.fromNameAndType("counts", QueryableStoreTypes.<String, Long>keyValueStore()));
        StringJoiner totals = new StringJoiner(", ", "{", "}");
        try (var entries = store.all()) {
            entries.forEachRemaining(entry -> totals.add("\"" + entry.key + "\": " + entry.value));
        }
        return totals.toString();
    }

    private static <T> Serde<T> serde(Class<T> type) {
        Serializer<T> write = (topic, value) -> {
            try {
                return value == null ? null : JSON.writeValueAsBytes(value);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        Deserializer<T> read = (topic, bytes) -> {
            try {
                return bytes == null ? null : JSON.readValue(bytes, type);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        return Serdes.serdeFrom(write, read);
    }

    private static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                .getProcessCpuTime();
    }

    private static long residentMib() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
            }
        }
        return 0;
    }

    private static void remove(File folder) {
        File[] parts = folder.listFiles();
        for (File part : parts == null ? new File[0] : parts) {
            remove(part);
        }
        folder.delete();
    }
}
