/*
 * internal.h - what the files of this room share: the attacks, the stage they are played on, and
 * what comes of one.
 */
#ifndef ATTACK_INTERNAL_H
#define ATTACK_INTERNAL_H

#include "attack/attack.h"
#include "base/buffer.h"
#include "catalog/catalog.h"
#include "pg/raw.h"
#include "provision/place.h"

/* What throwaway tenants are recognized by: reeve-attack-0123456789ab-a (attacker), -b (victim). */
#define ATTACK_SLUG_PREFIX "reeve-attack-"
#define ATTACK_TENANT_NAME "throwaway tenant of the attack suite"

enum {
    ATTACK_SECRET_SIZE = 21,               /* digits, and the NUL */
    ATTACK_TEXT_MAX = 1 << 20,             /* of anything that is made for an attack */
    ATTACK_STATEMENT_TIMEOUT_US = 40000000 /* then the answer counts as not given */
};

/* ---- filling tables (plant.c) ---- */

struct plant_column;

struct plant_table {
    const char *name;
    struct plant_column *columns;
    size_t column_count;
    bool has_tenant;           /* has the column tenant_id */
    bool filled;               /* the victim has a row in it */
    int variant, strategy;     /* of the values that went in */
    const char *secret_column; /* that holds the secret; NULL: none does */
    size_t needs;              /* rows of how many other tables it refers to */
    char failure[200];         /* why it could not be filled */
};

struct plant {
    struct plant_table *tables;
    size_t count;
    struct plant_table **order; /* the filled ones, in the order in which they were */
    size_t filled;
    struct plant_table *chosen; /* which attacks use; NULL: none could be filled with a secret */
    /* Two filled tables, one of which refers to the other by one number; NULL: there are none. */
    struct plant_table *child, *parent;
    const char *child_column, *parent_column;
};

/* ---- the stage: two tenants of one target ---- */

/* Who a session is. */
struct attack_who {
    char session_user[PG_NAME_SIZE], current_user[PG_NAME_SIZE];
    int64_t tenant_id; /* reeve.tenant_id(); 0: there is none */
};

struct attack_side {
    const char *slug; /* NULL before it is made */
    int64_t tenant_id;
    struct place *place; /* NULL before it is attached */
    char *token;         /* wiped at the end */
    char secret[ATTACK_SECRET_SIZE];
    struct attack_who who; /* when nothing has been done */
};

/* A word that attack texts may name: {role}, {role:s} as a literal, {role:t} as it is. */
struct attack_word {
    const char *name;
    const char *value; /* NULL: there is no such thing here */
    bool identifier;   /* quoted as one */
};
enum { ATTACK_WORDS_MAX = 48 };

struct attack_stage {
    const struct attack_options *options;
    struct catalog *catalog;
    struct arena *arena; /* as long as the stage */
    const struct attack_target *target;
    const char *enforcement; /* what both have; before they are made: what they shall, or NULL */
    struct attack_side attacker, victim;
    bool same_database, same_tables;   /* what both share */
    bool shares_sessions;              /* the victim was seen to get one that the attacker had */
    bool superuser;                    /* the cluster's administrator is one */
    char activity[ATTACK_SECRET_SIZE]; /* stands in a query of the victim's, and in no row */
    struct plant plant;
    const char *other_service; /* that the attacker has nothing to do with */
    struct attack_word words[ATTACK_WORDS_MAX];
    size_t word_count;
    struct pg_connection *watch; /* the victim's, which sees whether it is unharmed */
    const char *digest_sql;      /* of all that the victim can write */
    char *digest;                /* when it was last looked at */
    const char **known_leaks;    /* what the attacker sees without doing anything */
    size_t known_leak_count;
};

/* ---- one attack ---- */

/* What attacker and victim must have in common for an attack to mean anything. */
enum attack_reach { REACH_ANY, REACH_DATABASE, REACH_TABLES, REACH_GUARD };

enum attack_flag {
    IN_TRANSACTION = 1 << 0, /* in one that is rolled back: it would do damage */
    ROLE_DEFAULTS = 1 << 1,  /* may change what the role's next sessions begin with */
    NEEDS_TENANT = 1 << 2,   /* the tables must have the tenant column */
    NEEDS_PAIR = 1 << 3,     /* a table that refers to another */
    ALL_STYLES = 1 << 4,     /* simple, extended, and in one message */
    OWN_TEXT = 1 << 5,       /* the secret stands in the text: an answer that repeats it is none */
    WHOLE_TABLE = 1 << 7,    /* gives all rows that can be seen: not where others' can be */
    QUIET = 1 << 6, /* an error may show somebody's row: the report gets its SQLSTATE alone */
};

struct attack;
struct attack_outcome;
typedef int (*attack_play)(struct attack_stage *stage, const struct attack *attack,
                           struct attack_outcome *outcome, struct error *err);
typedef void (*attack_judge)(const struct attack *attack, struct attack_outcome *outcome);

struct attack {
    const char *id;
    int threat;
    const char *title;
    enum attack_reach reach;
    unsigned flags;
    const char *sql;      /* statements, with words; what `play` makes of it */
    const char *expected; /* judge_refused: SQLSTATEs; NULL: 42501 */
    const char *probe;    /* a leftover's: what the victim asks before and after */
    const char *residual; /* why it cannot be closed */
    attack_judge judge;   /* NULL: `play` decides */
    attack_play play;     /* NULL: play_sql */
};

/* Rows of the tables of attacks. */
#define ATTACK_NO_GAIN(id_, threat_, title_, flags_, sql_)                                         \
    {                                                                                              \
        .id = (id_), .threat = (threat_), .title = (title_), .flags = (flags_) | ALL_STYLES,       \
        .sql = (sql_), .judge = judge_no_gain                                                      \
    }
#define ATTACK_REFUSED(id_, threat_, title_, flags_, sql_, sqlstates_)                             \
    {                                                                                              \
        .id = (id_), .threat = (threat_), .title = (title_), .flags = (flags_), .sql = (sql_),     \
        .expected = (sqlstates_), .judge = judge_refused                                           \
    }
#define ATTACK_EMPTY(id_, threat_, title_, reach_, sql_)                                           \
    {                                                                                              \
        .id = (id_), .threat = (threat_), .title = (title_), .reach = (reach_), .sql = (sql_),     \
        .judge = judge_empty                                                                       \
    }
#define ATTACK_UNTOUCHED(id_, threat_, title_, flags_, sql_)                                       \
    {                                                                                              \
        .id = (id_), .threat = (threat_), .title = (title_), .flags = (flags_) | IN_TRANSACTION,   \
        .sql = (sql_), .judge = judge_untouched                                                    \
    }
#define ATTACK_SEEN(id_, threat_, title_, reach_, sql_, residual_)                                 \
    {                                                                                              \
        .id = (id_), .threat = (threat_), .title = (title_), .reach = (reach_), .sql = (sql_),     \
        .residual = (residual_), .judge = judge_residual                                           \
    }
#define ATTACK_PLAYED(id_, threat_, title_, reach_, flags_, play_, sql_)                           \
    {                                                                                              \
        .id = (id_), .threat = (threat_), .title = (title_), .reach = (reach_), .flags = (flags_), \
        .play = (play_), .sql = (sql_)                                                             \
    }

/* All tables of attacks, in the order of the report; ends with NULL. */
extern const struct attack *const attack_tables[];
extern const struct attack attacks_context[], attacks_role[], attacks_login[], attacks_rows[],
    attacks_guard[], attacks_leftover[], attacks_names[], attacks_objects[];

/* What came of one attack. Texts in `arena`, which lives as long as the report. */
struct attack_outcome {
    const struct attack_stage *stage;
    struct arena *arena;
    struct buffer tried, back, gain, names;
    const char *hidden; /* the secret, if answers are searched for it */
    bool quiet;         /* texts of errors are not for the report */
    size_t accepted, refused;
    char sqlstate[SQLSTATE_SIZE]; /* of the last refusal */
    int64_t rows, affected;
    char value[256];   /* the first column of the last row */
    bool inconclusive; /* an answer that says nothing about the defence: no slot, no connection */
    bool notified;     /* a notification came */
    bool as_group;     /* the session took the role that all tenants of shared tables are in */
    bool decided;
    enum attack_verdict verdict;
    const char *why;
};
void outcome_init(struct attack_outcome *outcome, const struct attack_stage *stage,
                  struct arena *arena);
void outcome_free(struct attack_outcome *outcome);
/* "; " and the text, behind what stands there. */
void outcome_back(struct attack_outcome *outcome, const char *format, ...) reeve_printf(2, 3);
void outcome_tried(struct attack_outcome *outcome, const char *format, ...) reeve_printf(2, 3);
void outcome_gain(struct attack_outcome *outcome, const char *format, ...) reeve_printf(2, 3);
/* The verdict, unless there is one. */
void outcome_decide(struct attack_outcome *outcome, enum attack_verdict verdict, const char *format,
                    ...) reeve_printf(3, 4);

/* ---- words.c ---- */

/* Fills stage->words from the two places. */
void words_fill(struct attack_stage *stage);
void words_add(struct attack_stage *stage, const char *name, const char *value, bool identifier);
/* The text with its words; NULL, and *ret_missing, when there is no such thing here. `shown`: for
 * the report, without secrets. */
const char *words_expand(const struct attack_stage *stage, struct arena *arena, const char *text,
                         bool shown, const char **ret_missing);
/* The next statement of a text; NULL at its end. Bodies between $$ stay whole. */
const char *words_next_statement(struct arena *arena, const char **at);
/* Random digits: upper, lower, in an address: always the same. */
void words_random_digits(char ret[ATTACK_SECRET_SIZE]);

/* ---- credential.c ---- */

struct credential_spec {
    const char *tenant; /* slug; NULL: the side's own */
    int64_t tenant_id;
    const char *service; /* NULL: the stage's */
    bool read_only;
    bool foreign_key; /* signed with a key that is not Reeve's */
    int64_t ttl_us;   /* 0: that of a run; below 0: expired */
};
/* A token for the side. When `record`, the catalog knows it. The caller wipes it: catalog_wipe. */
int credential_issue(struct attack_stage *stage, const struct attack_side *side,
                     const struct credential_spec *spec, bool record, char **ret, char ret_jti[33],
                     struct error *err);

/* ---- session.c: connections through the endpoint ---- */

struct session_login {
    const char *user, *token, *database; /* NULL: the side's */
    const char *more;                    /* libpq's keywords, behind all others */
};
int session_open(const struct attack_stage *stage, const struct attack_side *side,
                 const struct session_login *login, struct pg_connection **ret, struct error *err);
/* The same for an attack: a failure makes it inconclusive, and *ret NULL; but ERROR_CANCELLED. */
int session_try(const struct attack_stage *stage, const struct attack_side *side,
                const struct session_login *login, struct attack_outcome *outcome,
                struct pg_connection **ret, struct error *err);
/* Sends a text and notes all that comes back; prepared statements are called "attacked". Fails with
 * ERROR_CANCELLED alone. */
int session_say(struct pg_connection *connection, enum pg_raw_style style, const char *sql,
                struct attack_outcome *outcome, struct error *err);
/* The visitor that notes, for those who send themselves; `owner` is the outcome. */
void session_note(void *owner, const struct pg_raw_piece *piece);
/* Takes what a failed call said as an answer; returns the error that ends the run, or 0. */
int session_failed(struct attack_outcome *outcome, int result, struct error *err);
/* Rolls back what is open. */
void session_rollback(struct pg_connection *connection);
/* The first column of a query's first row, for what must work; NULL for no row. */
int session_ask(struct pg_connection *connection, struct arena *arena, const char *sql,
                const char **ret, struct error *err);

/* ---- look.c: looking round ---- */

/* Who the session is. Also finds out what it can read before anything was done, for the attacker.
 */
int look_first(struct attack_stage *stage, struct error *err);
/* Adds to outcome->gain what the attacker's session can read or has become. `when`: for people. */
int look_round(struct attack_stage *stage, struct pg_connection *connection, const char *when,
               struct attack_outcome *outcome, struct error *err);
/* The SQL of it, to stand behind others in one message, and the taking of what it answers in a
 * notice; false when the notice is none of it. */
const char *look_sql(const struct attack_stage *stage, struct arena *arena);
bool look_note(struct attack_outcome *outcome, const struct pg_raw_piece *piece);
/* The same over a new connection. */
int look_anew(struct attack_stage *stage, const char *when, struct attack_outcome *outcome,
              struct error *err);
/* Sees whether the victim's rows are as they were. */
int look_after_victim(struct attack_stage *stage, struct attack_outcome *outcome,
                      struct error *err);

/* ---- stage.c ---- */

/* Makes both tenants, their credentials and their rows. stage_end is due in any case. */
int stage_begin(struct attack_stage *stage, struct error *err);
/* Closes connections and wipes credentials. Removing the tenants is remove.c's. */
void stage_end(struct attack_stage *stage);
/* As the cluster's administrator, in the victim's database, or another. */
int stage_admin(struct attack_stage *stage, const char *database, struct pg_connection **ret,
                struct error *err);
/* Ends the attacker's server connections; the next ones begin with the role's defaults. */
int stage_end_backends(struct attack_stage *stage, struct error *err);
/* The defaults of the attacker's role, kept and put back. */
struct stage_defaults;
int stage_keep_defaults(struct attack_stage *stage, struct arena *arena,
                        struct stage_defaults **ret, struct error *err);
int stage_restore_defaults(struct attack_stage *stage, const struct stage_defaults *kept,
                           struct error *err);

/* ---- plant.c ---- */

/* Puts a row with the victim's secret into every table that it can, and the attacker's own beside
 * it, over their connections; chooses the tables for attacks and adds their words. */
int plant_rows(struct attack_stage *stage, struct pg_connection *victim,
               struct pg_connection *attacker, struct error *err);
/* An INSERT like the one that went in, with another secret in it, and maybe another tenant's id. */
const char *plant_insert(struct arena *arena, const struct plant_table *table, const char *schema,
                         const char *secret, int64_t tenant_id);
/* The same with a value for one column, as SQL. */
const char *plant_insert_with(struct arena *arena, const struct plant_table *table,
                              const char *schema, const char *secret, const char *column,
                              const char *value);

/* ---- before.c ---- */

/* Looks at what tenants of the target share, before any is made, as that repairs it: *ret, when
 * *ret_applies. *ret_refused: no tenant can be made as it is. ERROR_STATE when migrations wait. */
int before_tenants(const struct attack_options *options, struct catalog *catalog,
                   const struct attack_target *target, struct arena *arena,
                   struct attack_result *ret, bool *ret_applies, bool *ret_refused,
                   struct error *err);

/* ---- remove.c ---- */

/* Removes the throwaway tenants that there are, whoever made them: the caller holds the suite's
 * lock, so no run that is alive has any. */
int remove_tenants(const struct attack_options *options, struct catalog *catalog,
                   struct error *err);

/* ---- leftover.c ---- */

/* Whether the victim can be given a server session that the attacker had. */
int leftover_shares_session(struct attack_stage *stage, bool *ret, struct error *err);

/* ---- playing and judging ---- */

/* Sends attack->sql, statement by statement, in the styles that the flags say. */
int play_sql(struct attack_stage *stage, const struct attack *attack,
             struct attack_outcome *outcome, struct error *err);
/* One attack from beginning to end. False in *ret_applies: it means nothing here. */
int play(struct attack_stage *stage, const struct attack *attack, struct arena *arena,
         struct attack_result *ret, bool *ret_applies, struct error *err);

/* Every statement must be refused, with one of the SQLSTATEs. */
void judge_refused(const struct attack *attack, struct attack_outcome *outcome);
/* Whatever is answered: nothing may be gained by it. */
void judge_no_gain(const struct attack *attack, struct attack_outcome *outcome);
/* A list of what should not be there: it must be empty. */
void judge_empty(const struct attack *attack, struct attack_outcome *outcome);
/* May be refused, or touch no row. */
void judge_untouched(const struct attack *attack, struct attack_outcome *outcome);
/* Refused, or nothing comes of it: PASS; else RESIDUAL. */
void judge_residual(const struct attack *attack, struct attack_outcome *outcome);

#endif
