/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that settings change as a stock daemon's do: the recorded edits of the stock
 * CLI give the recorded results, and what is wrong changes nothing.
 * Usage: test_prefs prefs.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/control/prefs.h"
#include "tests/unit/vector_json.h"

static json_t *runs;

static void same(const json_t *got, const json_t *want, const char *name)
{
	char *a = json_dumps(got, JSON_SORT_KEYS), *b = json_dumps(want, JSON_SORT_KEYS);

	if (strcmp(a, b) != 0)
		fail_msg("%s:\n%s\n%s", name, a, b);
	free(a);
	free(b);
}

static bool is_path(const json_t *e, const char *method, const char *end)
{
	const char *path = vector_text(e, "path");

	return strcmp(vector_text(e, "method"), method) == 0 &&
	       strcmp(path + strlen("/localapi/v0/"), end) == 0;
}

/* Which node an address is stands in the map: not decided here. */
static void forget_exit_node(json_t *prefs)
{
	json_object_set_new(prefs, "ExitNodeID", json_string(""));
	json_object_set_new(prefs, "ExitNodeIP", json_string(""));
	json_object_set_new(prefs, "InternalExitNodePrior", json_string(""));
}

static void recorded_edits(void **state)
{
	const json_t *run, *e;
	size_t i, k, edits = 0, starts = 0;

	json_array_foreach(runs, i, run)
	{
		const char *name = vector_text(run, "name");
		json_t *prefs = NULL;

		json_array_foreach(json_object_get(run, "exchanges"), k, e)
		{
			json_t *request = json_object_get(e, "request");
			json_t *response = json_deep_copy(json_object_get(e, "response"));
			struct json_in in;

			if (is_path(e, "GET", "prefs")) {
				json_decref(prefs);
				prefs = json_incref(response);
			} else if (is_path(e, "PATCH", "prefs") && prefs) {
				json_t *made = prefs_edit(prefs, request, &in);

				assert_non_null(made);
				forget_exit_node(made);
				forget_exit_node(response);
				same(made, response, name);
				json_decref(made);
				edits++;
			} else if (is_path(e, "POST", "start")) {
				json_t *given = json_object_get(request, "UpdatePrefs");
				json_t *fresh = prefs_new();
				json_t *made = prefs_replace(fresh, given, &in);
				struct prefs_view v;

				assert_non_null(made);
				assert_true(json_equal(json_object_get(made, "ControlURL"),
						       json_object_get(given, "ControlURL")));
				assert_true(prefs_view(made, &v, &in));
				assert_true(v.want_running);
				assert_null(prefs_problem(made));
				prefs_view_fini(&v);
				json_decref(made);
				json_decref(fresh);
				starts++;
			}
			json_decref(response);
		}
		json_decref(prefs);
	}
	assert_in_range(edits, 10, 100);
	assert_in_range(starts, 5, 100);
}

static void a_fresh_node(void **state)
{
	json_t *prefs = prefs_new();
	const json_t *run;
	size_t i;

	json_array_foreach(runs, i, run) if (strcmp(vector_text(run, "name"), "n-debug-prefs") == 0)
		same(prefs,
		     json_object_get(json_array_get(json_object_get(run, "exchanges"), 0),
				     "response"),
		     "fresh");
	json_decref(prefs);
}

static json_t *edit(json_t *prefs, const char *text, struct json_in *in)
{
	json_t *masked = json_loads(text, 0, NULL), *made;

	assert_non_null(masked);
	made = prefs_edit(prefs, masked, in);
	json_decref(masked);
	return made;
}

static void what_is_wrong_changes_nothing(void **state)
{
	static const struct {
		const char *masked, *error;
	} bad[] = {
		{"{\"Hostname\":7,\"HostnameSet\":true}", "Hostname: expected a string"},
		{"{\"WantRunning\":\"x\",\"WantRunningSet\":true}",
		 "WantRunning: expected true or false"},
		{"{\"AdvertiseRoutes\":[\"10.0.0.0\"],\"AdvertiseRoutesSet\":true}",
		 "AdvertiseRoutes: expected prefixes with their length"},
		{"{\"NetfilterMode\":-1,\"NetfilterModeSet\":true}",
		 "NetfilterMode: expected an integer in range"},
		{"{\"InternalExitNodePrior\":\"x\",\"InternalExitNodePriorSet\":true}",
		 "can't set Internal fields"},
		{"{\"Config\":{},\"ConfigSet\":true}", "can't set Internal fields"},
	};
	json_t *prefs = prefs_new(), *made;
	struct json_in in;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(edit(prefs, bad[i].masked, &in));
		assert_string_equal(in.error, bad[i].error);
	}
	/* Not in the mask: not looked at. */
	made = edit(prefs, "{\"Hostname\":7,\"Nonsense\":1,\"NonsenseSet\":true}", &in);
	same(made, prefs, "no mask");
	json_decref(made);
	json_decref(prefs);
}

static void members_and_clearing(void **state)
{
	json_t *prefs = prefs_new(), *made, *again;
	struct json_in in;

	made = edit(
		prefs,
		"{\"AutoUpdate\":{\"Check\":false,\"Apply\":true},\"AutoUpdateSet\":{\"ApplySet\":"
		"true},\"RelayServerPort\":0,\"RelayServerPortSet\":true}",
		&in);
	assert_true(json_is_true(json_object_get(json_object_get(made, "AutoUpdate"), "Check")));
	assert_true(json_is_true(json_object_get(json_object_get(made, "AutoUpdate"), "Apply")));
	assert_non_null(json_object_get(made, "RelayServerPort"));
	again = edit(made,
		     "{\"RelayServerPort\":null,\"RelayServerPortSet\":true,\"CorpDNSSet\":true}",
		     &in);
	assert_null(json_object_get(again, "RelayServerPort"));
	assert_true(json_is_false(json_object_get(again, "CorpDNS")));
	json_decref(again);
	json_decref(made);
	json_decref(prefs);
}

static void problems(void **state)
{
	static const char *const bad[] = {
		"{\"AdvertiseRoutes\":[\"0.0.0.0/0\"],\"AdvertiseRoutesSet\":true}",
		("{\"AdvertiseRoutes\":[\"0.0.0.0/0\",\"::/0\"],\"AdvertiseRoutesSet\":true,"
		 "\"ExitNodeID\":\"n1\",\"ExitNodeIDSet\":true}"),
		"{\"RunSSH\":true,\"RunSSHSet\":true}",
	};
	json_t *prefs = prefs_new();
	struct json_in in;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *made = edit(prefs, bad[i], &in);

		assert_non_null(prefs_problem(made));
		json_decref(made);
	}
	assert_null(prefs_problem(prefs));
	json_decref(prefs);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_edits),
		cmocka_unit_test(a_fresh_node),
		cmocka_unit_test(what_is_wrong_changes_nothing),
		cmocka_unit_test(members_and_clearing),
		cmocka_unit_test(problems),
	};

	if (argc != 2)
		return 2;
	runs = vector_load(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
