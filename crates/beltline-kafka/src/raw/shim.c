/* Doors into librdkafka that the library itself does not have: for an assignor of one's own, and for what else is said below.
 *
 * This reads internal headers, so it is right for one version only; the check below refuses any other. Before moving to
 * another librdkafka, read rdkafka_assignor.[ch], the handling of JoinGroup and SyncGroup in rdkafka_cgrp.c and
 * rd_kafka_cgrp_try_terminate there, rd_kafka_toppars_pause_resume in rdkafka_partition.c, rd_kafka_coord_req_fsm in
 * rdkafka_coord.c and rd_kafka_message_headers in rdkafka_msg.c again, then run the group tests, those of outages and those
 * of interop. */
#include "rdkafka_int.h"
#include "rdkafka_assignor.h"
#include "rdkafka_cgrp.h"
#include "rdkafka_coord.h"
#include "rdkafka_msg.h"
#include "rdkafka_partition.h"

#if RD_KAFKA_VERSION != 0x020c01ff
#error "this shim was read against librdkafka 2.12.1; see the comment above"
#endif

/* One member as the leader sees it. */
struct beltline_member {
        const char *id;
        size_t id_len;
        const void *user_data;
        size_t user_data_len;
        const rd_kafka_topic_partition_list_t *subscription;
        rd_kafka_topic_partition_list_t *assignment; /* filled by the Rust side */
        rd_kafka_group_member_t *member;             /* for beltline_member_set_user_data */
};

/* The Rust side. All three run on librdkafka's main thread: they do not block, do not unwind and do not call the client. */
extern const void *beltline_user_data(void *app, const char *const *topics, size_t topic_count,
                                      const rd_kafka_topic_partition_list_t *owned, size_t *len);
extern int beltline_assign(void *app, const rd_kafka_metadata_t *metadata, struct beltline_member *members, size_t count);
extern void beltline_assigned(void *app, int32_t generation, const void *data, size_t len);

/* What an assignor leaves in rkgm_userdata is sent to that member along with its assignment. */
void beltline_member_set_user_data(rd_kafka_group_member_t *member, const void *data, size_t len) {
        if (member->rkgm_userdata)
                rd_kafkap_bytes_destroy(member->rkgm_userdata);
        member->rkgm_userdata = rd_kafkap_bytes_new(data, (int32_t)len);
}

/* Called before each JoinGroup. The protocol's own field of owned partitions stays empty on purpose: claims travel in
 * the user data, and from a filled field librdkafka would withhold a second time, after the assignor, so that nothing
 * would ever move. */
static rd_kafkap_bytes_t *member_metadata(const rd_kafka_assignor_t *assignor, void *state, const rd_list_t *topics,
                                          const rd_kafka_topic_partition_list_t *owned, const rd_kafkap_str_t *rack) {
        const rd_kafka_topic_info_t *topic;
        const char **names = rd_calloc(rd_list_cnt(topics) + 1, sizeof(*names));
        const void *data;
        size_t len = 0;
        int i;
        RD_LIST_FOREACH(topic, topics, i)
                names[i] = topic->topic;
        data = beltline_user_data(assignor->rkas_opaque, names, (size_t)rd_list_cnt(topics), owned, &len);
        rd_free(names);
        return rd_kafka_consumer_protocol_member_metadata_new(topics, data, len, NULL, -1, rack);
}

static rd_kafka_resp_err_t assign(rd_kafka_t *rk, const rd_kafka_assignor_t *assignor, const char *member_id,
                                  const rd_kafka_metadata_t *metadata, rd_kafka_group_member_t *members, size_t count,
                                  rd_kafka_assignor_topic_t **topics, size_t topic_count, char *errstr,
                                  size_t errstr_size, void *opaque) {
        struct beltline_member *views = rd_calloc(count, sizeof(*views));
        size_t i;
        int failed;
        for (i = 0; i < count; i++) {
                rd_kafka_group_member_t *member = &members[i];
                int has_data = member->rkgm_userdata && RD_KAFKAP_BYTES_LEN(member->rkgm_userdata) > 0;
                views[i].id            = member->rkgm_member_id->str;
                views[i].id_len        = RD_KAFKAP_STR_LEN(member->rkgm_member_id);
                views[i].user_data     = has_data ? member->rkgm_userdata->data : NULL;
                views[i].user_data_len = has_data ? (size_t)RD_KAFKAP_BYTES_LEN(member->rkgm_userdata) : 0;
                views[i].subscription  = member->rkgm_subscription;
                views[i].assignment    = member->rkgm_assignment;
                views[i].member        = member;
        }
        failed = beltline_assign(opaque, metadata, views, count);
        rd_free(views);
        if (failed)
                rd_snprintf(errstr, errstr_size, "a member of the group sent data that beltline cannot read");
        return failed ? RD_KAFKA_RESP_ERR__APPLICATION : RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void on_assignment(const rd_kafka_assignor_t *assignor, void **state,
                          const rd_kafka_topic_partition_list_t *assignment, const rd_kafkap_bytes_t *data,
                          const rd_kafka_consumer_group_metadata_t *group) {
        int has_data = data && RD_KAFKAP_BYTES_LEN(data) > 0;
        beltline_assigned(assignor->rkas_opaque, group->generation_id, has_data ? data->data : NULL,
                          has_data ? (size_t)RD_KAFKAP_BYTES_LEN(data) : 0);
}

/* Makes the assignor the only one of this client. To be called after rd_kafka_new and before rd_kafka_subscribe; `app`
 * must outlive `rk`. */
int beltline_register_assignor(rd_kafka_t *rk, const char *name, void *app) {
        rd_kafka_assignor_t *assignor;
        int i;
        rd_kafka_resp_err_t err =
            rd_kafka_assignor_add(rk, "consumer", name, RD_KAFKA_REBALANCE_PROTOCOL_COOPERATIVE, assign,
                                  member_metadata, on_assignment, NULL, NULL, app);
        if (err)
                return err;
        RD_LIST_FOREACH(assignor, &rk->rk_conf.partition_assignors, i)
                assignor->rkas_enabled = !rd_kafkap_str_cmp_str(assignor->rkas_protocol_name, name);
        rk->rk_conf.enabled_assignor_cnt = 1;
        return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* librdkafka stops fetching every partition of a member until it has the answer to a rebalance: while some of them wait to
 * be given back, or new ones to be taken. Those that stay need not stand still: this lets them run on. It is rd_kafka_resume_partitions for the library's own pause. */
int beltline_resume_during_revocation(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *partitions) {
        return rd_kafka_toppars_pause_resume(rk, rd_false, RD_ASYNC, RD_KAFKA_TOPPAR_F_LIB_PAUSE, partitions);
}

static rd_kafka_op_res_t look_for_coordinators(rd_kafka_t *rk, rd_kafka_q_t *queue, rd_kafka_op_t *op) {
        rd_kafka_broker_t *broker;
        if (op->rko_err == RD_KAFKA_RESP_ERR__DESTROY)
                return RD_KAFKA_OP_RES_HANDLED;
        rd_kafka_rdlock(rk);
        if ((broker = TAILQ_FIRST(&rk->rk_brokers)))
                rd_kafka_broker_keep(broker);
        rd_kafka_rdunlock(rk);
        if (broker) {
                /* Any broker will do: it only leads to the handle. */
                rd_kafka_coord_rkb_monitor_cb(broker);
                rd_kafka_broker_destroy(broker);
        }
        return RD_KAFKA_OP_RES_HANDLED;
}

/* A request to a group's coordinator whose coordinator could not be found is tried again when the state of some broker
 * changes, and its own time limit is never looked at. If the last change was before, as at the end of a rolling restart,
 * rd_kafka_send_offsets_to_transaction never returns. This has librdkafka try again, on its main thread, where all that
 * is done. */
void beltline_look_for_coordinators(rd_kafka_t *rk) {
        rd_kafka_q_enq(rk->rk_ops, rd_kafka_op_new_cb(rk, RD_KAFKA_OP_TXN, look_for_coordinators));
}

/* Answers a rebalance of a consumer that is closing: everything is given back. The library's own calls wait for their
 * answer, without end if closing is finished in between: what is queued for the group then is dropped. */
void beltline_give_everything_back(rd_kafka_t *rk) {
        rd_kafka_op_t *op;
        if (!rk->rk_cgrp)
                return;
        op = rd_kafka_op_new(RD_KAFKA_OP_ASSIGN);
        op->rko_u.assign.method = RD_KAFKA_ASSIGN_METHOD_ASSIGN;
        rd_kafka_q_enq(rk->rk_cgrp->rkcg_ops, op);
}

static rd_kafka_op_res_t wait_no_more(rd_kafka_t *rk, rd_kafka_q_t *queue, rd_kafka_op_t *op) {
        if (op->rko_err != RD_KAFKA_RESP_ERR__DESTROY)
                rk->rk_cgrp->rkcg_flags &= ~RD_KAFKA_CGRP_F_WAIT_LEAVE;
        return RD_KAFKA_OP_RES_HANDLED;
}

/* A consumer that is closing waits for the answer to its LeaveGroup. If it is destroyed meanwhile, the request may be dropped
 * unsent without an end to that wait, and rd_kafka_destroy never returns. This ends it, on the main thread. */
void beltline_wait_no_more_for_leaving(rd_kafka_t *rk) {
        if (rk->rk_cgrp)
                rd_kafka_q_enq(rk->rk_ops, rd_kafka_op_new_cb(rk, RD_KAFKA_OP_TXN, wait_no_more));
}

/* Whether a consumed message may have headers. rd_kafka_message_headers parses them, and for that allocates even where there
 * are none: then they are one byte, their number. */
int beltline_may_have_headers(const rd_kafka_message_t *message) {
        const rd_kafka_msg_t *msg = (const rd_kafka_msg_t *)message;
        return RD_KAFKAP_BYTES_LEN(&msg->rkm_u.consumer.binhdrs) > 1;
}
