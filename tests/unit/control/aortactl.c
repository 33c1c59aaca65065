/* SPDX-License-Identifier: Apache-2.0 */
/* The program aortactl against a daemon that this test plays: exit codes, what it asks, and that
 * credentials end up where they belong. */
#include "control/client.h"
#include "control/socket.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[128], out[1 << 16], why[512];
static char asked[REQUEST_BYTES_MAX]; /* the last request */
static const char *answers[8];        /* in turn; then NULL */
static _Atomic unsigned turn;
static _Atomic bool done;
static struct control_socket *control;
static pthread_t thread;

static char *
answer(void *user, const char *line, size_t bytes)
{
        const char *text = answers[atomic_fetch_add(&turn, 1)];

        memcpy(asked, line, bytes + 1);
        return text != NULL ? strdup(text) : NULL;
}

static void *
serve(void *unused)
{
        while (!atomic_load(&done))
                control_socket_poll(control, 10);
        return NULL;
}

static void
setup(void)
{
        folder_make(folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/control.sock", folder);
        cr_assert_eq(control_socket_listen(&control, path, answer, NULL, why), 0, "%s", why);
        cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void
teardown(void)
{
        atomic_store(&done, true);
        pthread_join(thread, NULL);
        control_socket_close(control);
        folder_remove(folder);
}

TestSuite(aortactl, .init = setup, .fini = teardown);

/* Runs a shell command where $ctl is aortactl and $d the folder; its exit status, output in out. */
static int
run(const char *command)
{
        char whole[2048];
        FILE *pipe;
        size_t n;
        int status;

        atomic_store(&turn, 0);
        snprintf(whole, sizeof(whole),
            "unset AORTA_STATE; export ASAN_OPTIONS=detect_leaks=0; d=%s; cd $d; ctl='%s --socket "
            "%s'; "
            "(%s) 2>&1",
            folder, AORTACTL, path, command);
        pipe = popen(whole, "re");
        cr_assert(pipe != NULL);
        n = fread(out, 1, sizeof(out) - 1, pipe);
        out[n] = '\0';
        status = pclose(pipe);
        cr_assert(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void
expect(const char *command, int status, const char *text)
{
        int got = run(command);

        cr_expect_eq(got, status, "%s: exit %d\n%s", command, got, out);
        cr_expect(strstr(out, text) != NULL, "%s: %s", command, out);
}

Test(aortactl, usage)
{
        static const char *const commands[] = {"status", "device add", "device add-many",
            "device list", "device show", "device remove", "record get", "log checkpoint",
            "log verify", "log match", "log prove", "log vkey", "graph", "shutdown"};
        char command[128], usage[128];

        expect("$ctl --help", 0, "usage: aortactl [--json] [--socket PATH] COMMAND");
        for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
                snprintf(command, sizeof(command), "$ctl %s --help", commands[i]);
                snprintf(usage, sizeof(usage), "usage: aortactl %s", commands[i]);
                expect(command, 0, usage);
        }
        expect("$ctl", 2, "usage: aortactl");
        expect("$ctl frob", 2, "no such command: frob");
        expect("$ctl --frob", 2, "unknown option --frob");
        expect("$ctl status --frob", 2, "unknown option --frob");
        expect("$ctl status x", 2, "unexpected argument x");
        expect("$ctl record get", 2, "record get needs LEAF");
        expect("$ctl record get -1", 2, "unknown option -1");
        expect("$ctl record get 1x", 2, "a leaf is a number");
        expect("$ctl device add --name x", 2, "needs --name and --patient");
        expect("$ctl device add --name", 2, "--name needs a value");
        expect("$ctl device add --secret 00", 2, "unknown option --secret");
        expect("$ctl device add --name a --name b", 2, "given twice");
        expect("$ctl status --json=1", 2, "takes no value");
        expect("$ctl device add-many --prefix a --count 0 --out f", 2, "needs --prefix");
        cr_assert_eq(atomic_load(&turn), 0);
}

Test(aortactl, no_daemon)
{
        expect("$ctl --socket $d/none status", 3, "no aortad answers at");
        expect("AORTA_STATE=/nonexistent " AORTACTL " status", 3, "/nonexistent/control.sock");
        expect(AORTACTL " status", 3, "no aortad answers at var/control.sock");
        answers[0] = NULL;
        expect("$ctl status", 3, "ended or hangs");
        answers[0] = "nonsense";
        expect("$ctl status", 3, "is no aortad");
}

Test(aortactl, refusals)
{
        answers[0] = "{\"ok\":false,\"code\":\"ENOENT\",\"error\":\"there is no leaf 7\"}";
        expect("$ctl record get 7", 1, "aortactl: there is no leaf 7");
        cr_assert_str_eq(asked, "{\"command\":\"record get\",\"leaf\":7}");
        cr_assert_eq(run("$ctl record get 7 --json 2> /dev/null"), 1);
        cr_assert_eq(strncmp(out, answers[0], strlen(answers[0])), 0, "%s", out);
}

#define CREDENTIALS(name)                                                                          \
        "{\"name\":\"" name "\",\"alg\":10,\"sender_id\":\"0102\",\"recipient_id\":\"41\","        \
        "\"secret\":\"aa\",\"salt\":\"\"}"

Test(aortactl, a_secret_comes_from_a_file)
{
        answers[0] = "{\"device\":{\"name\":\"x\",\"patient\":\"p\"},\"credentials\":" CREDENTIALS(
            "x") ",\"ok\":true}";
        expect("printf '0011AAff\\n' | $ctl device add --name x --patient p --secret-file - --kid "
               "0102",
            0, "sender ID (kid)        0102");
        cr_assert_str_eq(asked, "{\"command\":\"device add\",\"name\":\"x\",\"patient\":\"p\","
                                "\"kid\":\"0102\",\"lab\":false,\"secret\":\"0011AAff\"}");
        expect("$ctl device add --name x --patient p --secret-file $d/none", 1, "cannot be read");
        expect("echo 'not hex' | $ctl device add --name x --patient p --secret-file -", 1,
            "the master secret in hexadecimal");
        expect("$ctl device add --name x --patient p --secret-file - < /dev/null", 1,
            "the master secret in hexadecimal");
}

Test(aortactl, credentials_of_many)
{
        struct stat status;
        char file[128];
        size_t n;
        uint8_t *text;

        answers[0] = "{\"credentials\":[" CREDENTIALS("s0") "," CREDENTIALS("s1") "],\"ok\":true}";
        answers[1] = "{\"credentials\":[" CREDENTIALS("s2") "],\"ok\":true}";
        expect("umask 0; $ctl device add-many --prefix s --count 3 --out f", 0,
            "3 devices are enrolled");
        cr_assert_str_eq(
            asked, "{\"command\":\"device add-many\",\"prefix\":\"s\",\"first\":2,\"count\":1}");
        snprintf(file, sizeof(file), "%s/f", folder);
        cr_assert_eq(stat(file, &status), 0);
        cr_assert_eq(status.st_mode & 07777, 0600);
        text = folder_read(folder, "f", &n);
        text[n] = '\0';
        cr_assert_str_eq((char *)text,
            "# name alg kid server-id secret salt [id-context]\n"
            "s0 10 0102 41 aa -\ns1 10 0102 41 aa -\ns2 10 0102 41 aa -\n");
        free(text);
        expect("$ctl device add-many --prefix s --count 3 --out f", 1,
            "its credentials are not replaced");
        /* What was enrolled before the failure stays in the file. */
        answers[1] = "{\"ok\":false,\"error\":\"no room\"}";
        expect("$ctl device add-many --prefix s --count 3 --out g", 1, "no room");
        text = folder_read(folder, "g", &n);
        text[n] = '\0';
        cr_assert(strstr((char *)text, "s1 10 0102 41 aa -") != NULL);
        free(text);
}

Test(aortactl, acknowledgements_are_matched)
{
        answers[0] = "{\"ok\":true,\"origins\":[[\"a\",1,\"oscore\",11],[\"a\",2,\"oscore\",11],"
                     "[\"demo\",0,\"lab\",13]]}";
        answers[1] = "{\"ok\":true,\"origins\":[[\"b\",1,\"oscore\",12]]}";
        answers[2] = "{\"ok\":false,\"code\":\"ENOENT\",\"error\":\"no leaf\"}";
        expect("printf 'b 1 3\\na 1 0\\na 1 0\\n' > acks; $ctl log match acks --json", 0,
            "{\"ok\":true,\"acknowledged\":3,\"matched\":3,\"lost\":0,\"duplicates\":0,\"leaves\":"
            "4}");
        /* Another leaf, device, partial IV; a lab record; beyond the ledger. */
        expect("printf 'a 1 1\\nb 1 0\\na 9 1\\ndemo 0 2\\nb 1 4\\nb 1 3\\n' > acks; $ctl log "
               "match acks --json",
            1,
            "{\"ok\":false,\"acknowledged\":6,\"matched\":1,\"lost\":5,\"duplicates\":0,\"leaves\":"
            "4}");
        expect("echo 'a 1' > acks; $ctl log match acks", 1, "acks:1: a line must be");
        answers[1] = "{\"ok\":true,\"origins\":[[\"a\",2,\"oscore\",11]]}";
        expect(": > acks; $ctl log match acks --json", 1,
            "{\"ok\":false,\"acknowledged\":0,\"matched\":0,\"lost\":0,\"duplicates\":1,\"leaves\":"
            "4}");
        /* A removed device's name may come again: another context is no duplicate. */
        answers[1] = "{\"ok\":true,\"origins\":[[\"a\",2,\"oscore\",14]]}";
        expect("$ctl log match acks", 0, "0 duplicates");
        answers[1] = "{\"ok\":false,\"code\":\"EBADMSG\",\"error\":\"leaf 3 is damaged\"}";
        expect("$ctl log match acks", 1, "leaf 3 is damaged");
}
