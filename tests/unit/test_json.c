/* test_json.c - JSON through SQLite: values, walks, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "model/json.h"

static struct ner_json *open_text(const char *text) {
  struct ner_json *json;
  struct ner_err err = {0};
  if( ner_json_open(text, strlen(text), "doc", &json, &err) ) fail_msg("%s: %s", text, err.msg);
  return json;
}

static void values(void **state) {
  struct ner_json *json = open_text(
      " {\"i\":-7,\"big\":9223372036854775807,\"huge\":9223372036854775808,\"r\":1e-12,\"t\":true,"
      "\"f\":false,\"n\":null,\"s\":\"a\\u00e9\\ud83d\\ude00\\n\",\"a\":[\"x\",[2]],\"o\":{\"k\":3}"
      "}"
      "\r\n\t ");
  struct ner_err err = {0};
  int64_t i = 5;
  double r = 5;
  bool b = false;
  char *s;
  assert_int_equal(ner_json_int(json, "$.i", &i, &err), NER_OK);
  assert_int_equal(i, -7);
  assert_int_equal(ner_json_int(json, "$.big", &i, &err), NER_OK);
  assert_true(i == INT64_MAX);
  assert_int_equal(ner_json_int(json, "$.o.k", &i, &err), NER_OK);
  assert_int_equal(i, 3);
  assert_int_equal(ner_json_int(json, "$.missing", &i, &err), NER_OK);
  assert_int_equal(ner_json_int(json, "$.n", &i, &err), NER_OK);
  assert_int_equal(i, 3);
  assert_int_equal(ner_json_real(json, "$.r", &r, &err), NER_OK);
  assert_true(r == 1e-12);
  assert_int_equal(ner_json_real(json, "$.huge", &r, &err), NER_OK);
  assert_true(fabs(r - 9223372036854775808.0) < 1);
  assert_int_equal(ner_json_bool(json, "$.t", &b, &err), NER_OK);
  assert_true(b);
  assert_int_equal(ner_json_bool(json, "$.f", &b, &err), NER_OK);
  assert_false(b);
  assert_int_equal(ner_json_string(json, "$.s", &s, &err), NER_OK);
  assert_string_equal(s, "a\xc3\xa9\xf0\x9f\x98\x80\n");
  NER_FREE(s);
  assert_int_equal(ner_json_string(json, "$.a[0]", &s, &err), NER_OK);
  assert_string_equal(s, "x");
  NER_FREE(s);
  assert_int_equal(ner_json_string(json, "$.n", &s, &err), NER_OK);
  assert_null(s);
  assert_int_equal(ner_json_type_at(json, "$"), NER_JSON_OBJECT);
  assert_int_equal(ner_json_type_at(json, "$.a"), NER_JSON_ARRAY);
  assert_int_equal(ner_json_type_at(json, "$.huge"), NER_JSON_REAL);
  assert_int_equal(ner_json_type_at(json, "$.n"), NER_JSON_NULL);
  assert_int_equal(ner_json_type_at(json, "$.none"), NER_JSON_MISSING);
  assert_int_equal(err.code, NER_OK);
  ner_json_close(json);
}

static void wrong_types_are_named(void **state) {
  struct ner_json *json = open_text("{\"s\":\"x\",\"i\":1,\"r\":2.5}");
  struct ner_err err = {0};
  int64_t i = 0;
  bool b = false;
  char *s;
  assert_int_equal(ner_json_int(json, "$.s", &i, &err), NER_ERROR);
  assert_string_equal(err.msg, "doc: $.s is a string; it must be an integer");
  memset(&err, 0, sizeof err);
  assert_int_equal(ner_json_int(json, "$.r", &i, &err), NER_ERROR);
  memset(&err, 0, sizeof err);
  assert_int_equal(ner_json_bool(json, "$.i", &b, &err), NER_ERROR);
  memset(&err, 0, sizeof err);
  assert_int_equal(ner_json_string(json, "$.i", &s, &err), NER_ERROR);
  assert_null(s);
  ner_json_close(json);
}

/* Writes a walk down as "key=value;". */
struct trace {
  struct ner_json *json;
  char text[512];
};

static int note(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct trace *t = arg;
  size_t n = strlen(t->text);
  char *at = t->text + n;
  size_t room = sizeof t->text - n;
  if( item->key )
    n = (size_t)snprintf(at, room, "%s=", item->key);
  else
    n = (size_t)snprintf(at, room, "[%d]=", (int)item->index);
  at += n;
  room -= n;
  switch( item->type ) {
  case NER_JSON_INTEGER: snprintf(at, room, "%lld;", (long long)item->integer); break;
  case NER_JSON_REAL: snprintf(at, room, "%g;", item->real); break;
  case NER_JSON_STRING: snprintf(at, room, "'%s';", item->string); break;
  case NER_JSON_ARRAY:
    snprintf(at, room, "%s(", item->string);
    if( ner_json_each_in(t->json, item, note, t, err) ) return err->code;
    strcat(t->text, ");");
    break;
  default: snprintf(at, room, "<%d>;", (int)item->type); break;
  }
  return NER_OK;
}

static void walks(void **state) {
  struct trace t = {.json = open_text("{\"a\":1,\"a\":[ -0 , 1.0, \"x\" ],\"\\u0041\\n\":\"s\","
                                      "\"r\":0.5,\"o\":{},\"n\":null,\"5\":18446744073709551616}")};
  struct ner_err err = {0};
  assert_int_equal(ner_json_each(t.json, "$", note, &t, &err), NER_OK);
  assert_string_equal(t.text,
                      "a=1;a=[-0,1.0,\"x\"]([0]=0;[1]=1;[2]='x';);A\n='s';r=0.5;o=<8>;n=<1>;"
                      "5=1.84467e+19;");
  t.text[0] = 0;
  assert_int_equal(ner_json_each(t.json, "$.missing", note, &t, &err), NER_OK);
  assert_int_equal(ner_json_each(t.json, "$.n", note, &t, &err), NER_OK);
  assert_int_equal(ner_json_each(t.json, "$.o", note, &t, &err), NER_OK);
  assert_string_equal(t.text, "");
  assert_int_equal(ner_json_each(t.json, "$.r", note, &t, &err), NER_ERROR);
  assert_string_equal(t.text, "");
  ner_json_close(t.json);
}

static int stop_at_second(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  ++*(int *)arg;
  return item->index == 1 ? NER_INTERRUPT : NER_OK;
}

static void a_walk_can_be_ended(void **state) {
  struct ner_json *json = open_text("[1,2,3]");
  struct ner_err err = {0};
  int n = 0;
  assert_int_equal(ner_json_each(json, "$", stop_at_second, &n, &err), NER_INTERRUPT);
  assert_int_equal(n, 2);
  assert_int_equal(ner_json_each(json, "$", stop_at_second, &n, &err), NER_INTERRUPT);
  assert_int_equal(n, 4);
  ner_json_close(json);
}

static void refused(void **state) {
  static const struct {
    const char *text;
    size_t n;
  } bad[] = {
#define BAD(s) {s, sizeof s - 1}
      BAD(""),
      BAD(" "),
      BAD("{"),
      BAD("{}}"),
      BAD("{} x"),
      BAD("[1,]"),
      BAD("{\"a\":1,}"),
      /* JSON5, which SQLite >= 3.42 would take */
      BAD("{a:1}"),
      BAD("{'a':1}"),
      BAD("[+1]"),
      BAD("[.5]"),
      BAD("[1.]"),
      BAD("[0x10]"),
      BAD("[01]"),
      BAD("[Infinity]"),
      BAD("[NaN]"),
      BAD("[1]//c"),
      BAD("/*c*/[1]"),
      BAD("[\"a\\\nb\"]"),
      BAD("[\"\\x41\"]"),
      BAD("[\"\\'\"]"),
      BAD("\xc2\xa0[1]"),
      BAD("\xef\xbb\xbf[1]"),
      BAD("\f[1]"),
      /* names that are no strings: valid to SQLite 3.40, which then crashes at $.model_type */
      BAD("{[\"x\"]:1}"),
      BAD("{{\"a\":\"x\"}:1}"),
      BAD("{\"y\":1,[1,\"x\"] :{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1}}"),
      BAD("{[\"x\"]:{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1}}"),
      /* ill-formed UTF-8, control characters, NUL */
      BAD("[\"\xff\"]"),
      BAD("[\"\xc3\"]"),
      BAD("[\"\xed\xa0\x80\"]"),
      BAD("[\"\xc0\x80\"]"),
      BAD("[\"\xf4\x90\x80\x80\"]"),
      BAD("[\"a\tb\"]"),
      BAD("[\"a\0b\"]"),
      BAD("[1]\0"),
      BAD("[\"\\u0000\"]"),
      BAD("[\"\\ud800\"]"),
      BAD("[\"\\ud800x\"]"),
      BAD("[\"\\udc00\"]"),
      BAD("[\"\\ud800\\ud800\"]"),
      BAD("[\"\\u12g4\"]"),
      BAD("[\"\\"),
  };
  for( size_t i = 0; i < sizeof bad / sizeof bad[0]; i++ ) {
    struct ner_json *json;
    struct ner_err err = {0};
    if( ner_json_open(bad[i].text, bad[i].n, "doc", &json, &err) != NER_ERROR )
      fail_msg("taken: %s", bad[i].text);
    assert_null(json);
    assert_memory_equal(err.msg, "doc: not valid JSON", 19);
  }
}

static void depth_is_bounded(void **state) {
  char text[300];
  struct ner_json *json;
  struct ner_err err = {0};
  memset(text, '[', 64);
  memset(text + 64, ']', 64);
  assert_int_equal(ner_json_open(text, 128, "doc", &json, &err), NER_OK);
  ner_json_close(json);
  memset(text, '[', 65);
  memset(text + 65, ']', 65);
  assert_int_equal(ner_json_open(text, 130, "doc", &json, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "deep"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values),  cmocka_unit_test(wrong_types_are_named),
      cmocka_unit_test(walks),   cmocka_unit_test(a_walk_can_be_ended),
      cmocka_unit_test(refused), cmocka_unit_test(depth_is_bounded),
  };
  return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
