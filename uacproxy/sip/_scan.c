/* The inner loops of reading a message: one pass over its octets instead of a call per piece.
 *
 * Every function here takes what is usual and returns None for anything else: then the
 * Python form beside its caller decides, and words the error. (Those of _header.c, which are
 * in this module too, take whatever there is.) So no rule of RFC 3261 is
 * written down in C alone, and both forms give the same answer or this one gives none
 * (tests/unit/test_sip_scan.py draws messages at random and compares).
 */

#include "_header.h"

#include <string.h>

enum { TOKEN = 1, DIGIT = 2, HOST = 4, WHITE = 8, DISPLAY = 16, ENDS = 32 };

static unsigned char kinds[256];

static int
is_kind(const char *at, Py_ssize_t length, int kind)
{
    for (Py_ssize_t i = 0; i < length; i++)
        if (!(kinds[(unsigned char)at[i]] & kind))
            return 0;
    return length > 0;
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static int
is_called(const char *at, Py_ssize_t length, const char *name)
{
    for (Py_ssize_t i = 0; i < length; i++)
        if (lower(at[i]) != name[i])
            return 0;
    return 1;
}

/* Return a tuple of new references, NULL where one of them could not be made. */
static PyObject *
packed(PyObject **parts, int many)
{
    int whole = 1;
    for (int i = 0; i < many; i++)
        whole = whole && parts[i] != NULL;
    PyObject *found = whole ? PyTuple_New(many) : NULL;
    for (int i = 0; i < many; i++) {
        if (found != NULL)
            PyTuple_SET_ITEM(found, i, parts[i]);
        else
            Py_XDECREF(parts[i]);
    }
    return found;
}

/* -- names of fields ------------------------------------------------------------------- */

#define MOST_LINES 128 /* of a usual message */
#define KEPT_BESIDE 256 /* octets behind a header that it may keep alive */
#define SLOTS 512 /* a power of two, several times the number of names */

typedef struct {
    PyObject *spelled; /* lower case */
    PyObject *usual;   /* as we write it, NULL for a compact form */
    PyObject *name;    /* canonical */
    long bit;          /* in Message.present, 0 for most */
    int asked;         /* which of the values that every message is asked for, -1: none */
} Known;

static Known known[SLOTS];
static PyObject *methods[16];
static PyObject *transports[8];
static PyObject *empty;

/* Four octets and the length tell the names apart well enough; the case does not count. */
static unsigned
hash_of(const char *at, Py_ssize_t length)
{
    if (length == 0)
        return 0;
    unsigned hash = (unsigned)length;
    hash = hash * 31 + ((unsigned char)at[0] | 0x20);
    hash = hash * 31 + ((unsigned char)at[length / 3] | 0x20);
    hash = hash * 31 + ((unsigned char)at[length - length / 3 - 1] | 0x20);
    hash = hash * 31 + ((unsigned char)at[length - 1] | 0x20);
    return hash ^ (hash >> 9);
}

static const Known *
known_name(const char *at, Py_ssize_t length)
{
    for (unsigned slot = hash_of(at, length);; slot++) {
        const Known *found = &known[slot & (SLOTS - 1)];
        if (found->spelled == NULL)
            return NULL;
        if (PyBytes_GET_SIZE(found->spelled) != length)
            continue;
        const char *spelled = PyBytes_AS_STRING(found->spelled);
        if (found->usual != NULL &&
            memcmp(PyBytes_AS_STRING(found->usual), at, (size_t)length) == 0)
            return found;
        Py_ssize_t i = 0;
        while (i < length && lower(at[i]) == spelled[i])
            i++;
        if (i == length)
            return found;
    }
}

static PyObject *
lowered(const char *at, Py_ssize_t length)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, length);
    if (made != NULL) {
        char *to = PyBytes_AS_STRING(made);
        for (Py_ssize_t i = 0; i < length; i++)
            to[i] = lower(at[i]);
    }
    return made;
}

/* Return one of some objects that there is one of each already, else a new one. */
static PyObject *
shared(PyObject **among, int many, const char *at, Py_ssize_t length)
{
    for (int i = 0; i < many && among[i] != NULL; i++)
        if (PyBytes_GET_SIZE(among[i]) == length &&
            memcmp(PyBytes_AS_STRING(among[i]), at, (size_t)length) == 0)
            return Py_NewRef(among[i]);
    return PyBytes_FromStringAndSize(at, length);
}

static int
keep_shared(PyObject **among, int many, PyObject *list)
{
    for (int i = 0; i < many && i < PyTuple_GET_SIZE(list); i++)
        Py_XSETREF(among[i], Py_NewRef(PyTuple_GET_ITEM(list, i)));
    return 0;
}

static int
asked_as(PyObject *name)
{
    static const char *const names[] = {"via", "from", "to", "call-id", "cseq"};
    for (int i = 0; i < 5; i++)
        if (strcmp(PyBytes_AS_STRING(name), names[i]) == 0)
            return i;
    return -1;
}

PyDoc_STRVAR(know_doc, "know(names, methods, transports)\n--\n\n"
"Take spellings in lower case, each with how we write the name, the canonical name and\n"
"its bit, and words met often.");

static PyObject *
know(PyObject *self, PyObject *args)
{
    PyObject *names, *words, *protocols;
    if (!PyArg_ParseTuple(args, "O!O!O!", &PyTuple_Type, &names, &PyTuple_Type, &words,
                          &PyTuple_Type, &protocols))
        return NULL;
    if (PyTuple_GET_SIZE(names) > SLOTS / 2) {
        PyErr_SetString(PyExc_ValueError, "too many names");
        return NULL;
    }
    memset(known, 0, sizeof known);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *spelled, *usual, *name;
        long bit;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(names, i), "SSSl", &spelled, &usual, &name, &bit))
            return NULL;
        if (PyBytes_GET_SIZE(usual) != PyBytes_GET_SIZE(spelled))
            usual = NULL;
        unsigned slot = hash_of(PyBytes_AS_STRING(spelled), PyBytes_GET_SIZE(spelled));
        while (known[slot & (SLOTS - 1)].spelled != NULL)
            slot++;
        known[slot & (SLOTS - 1)] = (Known){
            Py_NewRef(spelled), Py_XNewRef(usual), Py_NewRef(name), bit, asked_as(name)};
    }
    keep_shared(methods, 16, words);
    keep_shared(transports, 8, protocols);
    Py_RETURN_NONE;
}

/* -- a message ------------------------------------------------------------------------- */

/* Read digits, -1 for anything else or more of them than surely fit. */
static long
number_of(const char *at, Py_ssize_t length)
{
    if (length < 1 || length > 9)
        return -1;
    long number = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        number = number * 10 + (at[i] - '0');
    }
    return number;
}

static void
trim(const char **at, Py_ssize_t *length)
{
    while (*length > 0 && kinds[(unsigned char)(*at)[0]] & WHITE) {
        (*at)++;
        (*length)--;
    }
    while (*length > 0 && kinds[(unsigned char)(*at)[*length - 1]] & WHITE)
        (*length)--;
}

/* Read a start line into method, URI, status and reason; 0 where it is not a usual one. */
static int
read_start(const char *at, Py_ssize_t length, PyObject **method, PyObject **uri, long *status,
           PyObject **reason)
{
    *method = *uri = *reason = NULL;
    if (length >= 11 && memcmp(at, "SIP/2.0 ", 8) == 0) {
        *status = number_of(at + 8, 3);
        if (*status < 100 || *status > 699 || (length > 11 && at[11] != ' '))
            return 0;
        *reason = length > 12 ? PyBytes_FromStringAndSize(at + 12, length - 12)
                              : Py_NewRef(empty);
        *method = Py_NewRef(empty);
        *uri = Py_NewRef(empty);
        return 1;
    }
    const char *first = memchr(at, ' ', (size_t)length);
    if (first == NULL || length < 12 || memcmp(at + length - 8, " SIP/2.0", 8) != 0)
        return 0;
    const char *last = at + length - 8;
    if (first >= last - 1 || memchr(first + 1, ' ', (size_t)(last - first - 1)) != NULL ||
        !is_kind(at, first - at, TOKEN))
        return 0;
    *status = 0;
    *method = shared(methods, 16, at, first - at);
    *uri = PyBytes_FromStringAndSize(first + 1, last - first - 1);
    *reason = Py_NewRef(empty);
    return 1;
}

/* -- the values that every message is asked for ------------------------------------------ */

/* Each read_... takes what is usual of a value, puts new references into parts, NULL where one
 * could not be made, and returns 1; for anything else it returns 0 and makes none. */
typedef int Reading(const char *at, Py_ssize_t length, PyObject **parts);

static int
read_cseq(const char *at, Py_ssize_t length, PyObject **parts)
{
    const char *white = memchr(at, ' ', (size_t)length);
    if (white == NULL)
        return 0;
    const long number = number_of(at, white - at);
    const char *method = white + 1;
    if (number < 0 || !is_kind(method, at + length - method, TOKEN))
        return 0;
    parts[0] = PyLong_FromLong(number);
    parts[1] = shared(methods, 16, method, at + length - method);
    return 1;
}

static int
read_via(const char *at, Py_ssize_t length, PyObject **parts)
{
    const char *end = at + length;
    if (length < 12 || memcmp(at, "SIP/2.0/", 8) != 0)
        return 0;
    const char *transport = at + 8;
    const char *white = memchr(transport, ' ', (size_t)(end - transport));
    if (white == NULL || !is_kind(transport, white - transport, TOKEN) || white - transport > 8)
        return 0;
    const char *sent_by = white + 1, *colon = NULL;
    for (at = sent_by; at < end && *at != ';'; at++)
        if (*at == ':' && colon == NULL)
            colon = at;
    const char *sent_by_end = at;
    const char *host_end = colon == NULL ? sent_by_end : colon;
    long port = 0, rport = -1;
    if (!is_kind(sent_by, host_end - sent_by, HOST))
        return 0;
    if (colon != NULL) {
        port = number_of(colon + 1, sent_by_end - colon - 1);
        if (port < 1 || port > 65535)
            return 0;
    }
    const char *values[3] = {"", "", ""}; /* branch, received, maddr */
    Py_ssize_t lengths[3] = {0, 0, 0};
    for (at = sent_by_end; at < end;) {
        const char *name = at + 1;
        const char *next = name;
        while (next < end && kinds[(unsigned char)*next] & TOKEN)
            next++;
        const Py_ssize_t name_length = next - name;
        if (name_length == 0)
            return 0;
        const char *content = next;
        if (next < end && *next == '=') {
            content = ++next;
            while (next < end && !(kinds[(unsigned char)*next] & ENDS))
                next++;
        }
        if (next < end && *next != ';')
            return 0;
        const int which = name_length == 6 && is_called(name, 6, "branch")     ? 0
                          : name_length == 8 && is_called(name, 8, "received") ? 1
                          : name_length == 5 && is_called(name, 5, "maddr")    ? 2
                                                                               : 3;
        if (which < 3) {
            values[which] = content;
            lengths[which] = next - content;
        }
        else if (name_length == 5 && is_called(name, 5, "rport")) {
            rport = next == content ? 0 : number_of(content, next - content);
            if (rport < 0 || rport > 65535)
                return 0;
        }
        at = next;
    }
    char upper[8];
    for (Py_ssize_t i = 0; i < white - transport; i++)
        upper[i] = transport[i] >= 'a' && transport[i] <= 'z' ? (char)(transport[i] - 32)
                                                             : transport[i];
    parts[0] = shared(transports, 8, upper, white - transport);
    parts[1] = PyBytes_FromStringAndSize(sent_by, sent_by_end - sent_by);
    parts[2] = lowered(sent_by, host_end - sent_by);
    parts[3] = PyLong_FromLong(port);
    parts[4] = PyBytes_FromStringAndSize(values[0], lengths[0]);
    parts[5] = PyBytes_FromStringAndSize(values[1], lengths[1]);
    parts[6] = PyBytes_FromStringAndSize(values[2], lengths[2]);
    parts[7] = PyLong_FromLong(rport);
    return 1;
}

static int
read_address(const char *raw, Py_ssize_t length, PyObject **parts)
{
    const char *at = raw, *end = raw + length;
    const char *quoted_end = NULL;
    if (length > 0 && *at == '"') {
        for (at++; at < end && *at != '"'; at++)
            if (*at == '\\')
                at++;
        if (at >= end)
            return 0;
        quoted_end = ++at;
    }
    const char *less = memchr(at, '<', (size_t)(end - at));
    if (less == NULL)
        return 0;
    const char *greater = memchr(less, '>', (size_t)(end - less));
    if (greater == NULL || greater == less + 1)
        return 0;
    const char *display = raw;
    Py_ssize_t display_length = less - raw;
    trim(&display, &display_length);
    if (display_length > 0 && display != raw)
        return 0;
    if (quoted_end != NULL) {
        if (display_length != quoted_end - raw)
            return 0;
    }
    else if (display_length > 0 && !is_kind(display, display_length, DISPLAY))
        return 0; /* a bare URI's semicolon or colon as well */
    for (at = less + 1; at < greater; at++)
        if (kinds[(unsigned char)*at] & WHITE)
            return 0;
    const char *tail = greater + 1, *tag = "";
    Py_ssize_t tag_length = 0;
    if (tail != end) {
        if (end - tail < 6 || memcmp(tail, ";tag=", 5) != 0)
            return 0;
        tag = tail + 5;
        const char *semicolon = memchr(tag, ';', (size_t)(end - tag));
        tag_length = (semicolon == NULL ? end : semicolon) - tag;
        if (tag_length == 0)
            return 0;
        for (Py_ssize_t i = 0; i < tag_length; i++)
            if (tag[i] == '"' || tag[i] == ' ' || tag[i] == '\t')
                return 0;
    }
    parts[0] = PyLong_FromSsize_t(display_length);
    parts[1] = PyLong_FromSsize_t(less + 1 - raw);
    parts[2] = PyLong_FromSsize_t(tail - raw);
    parts[3] = PyBytes_FromStringAndSize(tag, tag_length);
    return 1;
}

/* What every message is asked for, in the order of ``Views`` in scan.py. */
enum { VIA_VALUE, FROM_VALUE, TO_VALUE, CALL_ID_VALUE, CSEQ_VALUE, VALUES };
#define MOST_VIEWS 22

typedef struct {
    const char *at; /* NULL where there is none */
    Py_ssize_t length;
} Span;

/* Put whole value and parts of each; return 0 where one is not usual, then there are none. */
static int
read_views(const Span *values, PyObject **views)
{
    static Reading *const readings[VALUES] = {read_via, read_address, read_address, NULL,
                                              read_cseq};
    static const int many[VALUES] = {8, 4, 4, 0, 2};
    int put = 0;
    for (int i = 0; i < VALUES; i++) {
        const char *at = values[i].at;
        Py_ssize_t length = values[i].length;
        if (at == NULL)
            goto unusual;
        trim(&at, &length);
        if (length == 0 || (i == VIA_VALUE && memchr(at, ',', (size_t)length) != NULL))
            goto unusual;
        if (readings[i] != NULL) {
            if (!readings[i](at, length, views + put))
                goto unusual;
            put += many[i];
        }
        if (i != CSEQ_VALUE)
            views[put++] = PyBytes_FromStringAndSize(at, length);
    }
    return 1;
unusual:
    while (put > 0)
        Py_XDECREF(views[--put]);
    return 0;
}

PyDoc_STRVAR(split_doc, "split(octets, (max_message, max_fields, max_field, max_nesting))\n--\n\n"
"Return (start, method, uri, status, reason, header, body, present, views), or None.\n"
"Views are None where a value that every message is asked for is missing or not usual.");

static PyObject *
split(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyBytes_CheckExact(args[0]) || !PyTuple_CheckExact(args[1]) ||
        PyTuple_GET_SIZE(args[1]) != 4) {
        PyErr_SetString(PyExc_TypeError, "split takes octets and four limits");
        return NULL;
    }
    const char *octets = PyBytes_AS_STRING(args[0]);
    const Py_ssize_t length = PyBytes_GET_SIZE(args[0]);
    const Py_ssize_t max_message = PyLong_AsSsize_t(PyTuple_GET_ITEM(args[1], 0));
    const Py_ssize_t max_fields = PyLong_AsSsize_t(PyTuple_GET_ITEM(args[1], 1));
    const Py_ssize_t max_field = PyLong_AsSsize_t(PyTuple_GET_ITEM(args[1], 2));
    const Py_ssize_t max_nesting = PyLong_AsSsize_t(PyTuple_GET_ITEM(args[1], 3));
    if (PyErr_Occurred())
        return NULL;
    if (length > max_message || length == 0 || octets[0] == '\r' || length > UINT32_MAX)
        Py_RETURN_NONE;

    PyObject *start = NULL, *method = NULL, *uri = NULL, *reason = NULL, *body = NULL;
    Field fields[MOST_LINES];
    Py_ssize_t many = 0;
    Span asked[VALUES] = {{NULL, 0}};
    long status = 0, present = 0, body_length = -1;
    Py_ssize_t opens = 0;
    const char *at = octets, *end = octets + length;
    const char *open = memchr(octets, '(', (size_t)length); /* the next one, in the body too */
    for (;;) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        if (feed == NULL || feed == at || feed[-1] != '\r')
            goto done;
        const Py_ssize_t line_length = feed - 1 - at;
        if (memchr(at, '\r', (size_t)line_length) != NULL)
            goto done;
        if (line_length == 0) { /* the head ends */
            if (start == NULL)
                goto done;
            at = feed + 1;
            break;
        }
        if (line_length > max_field || *at == ' ' || *at == '\t')
            goto done;
        while (open != NULL && open < feed) {
            if (++opens > max_nesting)
                goto done;
            open = memchr(open + 1, '(', (size_t)(end - open - 1));
        }
        if (start == NULL) {
            if (!read_start(at, line_length, &method, &uri, &status, &reason))
                goto done;
            start = PyBytes_FromStringAndSize(at, line_length);
            if (start == NULL)
                goto done;
            at = feed + 1;
            continue;
        }
        const char *colon = memchr(at, ':', (size_t)line_length);
        if (colon == NULL || colon == at || many >= max_fields || many == MOST_LINES)
            goto done;
        const Known *name = known_name(at, colon - at);
        PyObject *canonical;
        if (name != NULL) {
            if (name->bit & present && name->bit != 64)
                goto done; /* stands twice */
            if (name->asked >= 0 && asked[name->asked].at == NULL)
                asked[name->asked] = (Span){colon + 1, feed - 1 - (colon + 1)};
            present |= name->bit;
            canonical = Py_NewRef(name->name);
            if (name->bit == 32) { /* Content-Length */
                const char *value = colon + 1;
                Py_ssize_t value_length = feed - 1 - value;
                trim(&value, &value_length);
                body_length = number_of(value, value_length);
                if (body_length < 0) {
                    Py_DECREF(canonical);
                    goto done;
                }
            }
        }
        else {
            if (!is_kind(at, colon - at, TOKEN))
                goto done;
            canonical = lowered(at, colon - at);
        }
        if (canonical == NULL)
            goto done;
        fields[many++] = (Field){canonical, NULL, (uint32_t)(at - octets),
                                 (uint32_t)(feed - 1 - octets)};
        at = feed + 1;
    }
    if (body_length > end - at)
        goto done;
    if (body_length < 0)
        body_length = (long)(end - at);
    body = body_length ? PyBytes_FromStringAndSize(at, body_length) : Py_NewRef(empty);
    if (body == NULL || method == NULL || uri == NULL || reason == NULL)
        goto done;
    const Py_ssize_t head_length = at - octets;
    PyObject *head = length - head_length > KEPT_BESIDE
                         ? PyBytes_FromStringAndSize(octets, head_length)
                         : Py_NewRef(args[0]);
    if (head == NULL)
        goto done;
    PyObject *header = header_of_octets(head, fields, many);
    Py_DECREF(head);
    PyObject *values[MOST_VIEWS];
    PyObject *views = read_views(asked, values) ? packed(values, MOST_VIEWS) : Py_NewRef(Py_None);
    PyObject *parts[9] = {start,  method, uri,  PyLong_FromLong(status),  reason,
                          header, body,   PyLong_FromLong(present), views};
    return packed(parts, 9);
done:
    for (Py_ssize_t i = 0; i < many; i++)
        Py_DECREF(fields[i].name);
    Py_XDECREF(start);
    Py_XDECREF(method);
    Py_XDECREF(uri);
    Py_XDECREF(reason);
    Py_XDECREF(body);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* -- values ---------------------------------------------------------------------------- */

static int
takes_bytes(PyObject *given)
{
    if (PyBytes_CheckExact(given))
        return 1;
    PyErr_Format(PyExc_TypeError, "bytes, not %s", Py_TYPE(given)->tp_name);
    return 0;
}

static PyObject *
parts_of(PyObject *given, Reading *reading, int many)
{
    if (!takes_bytes(given))
        return NULL;
    PyObject *parts[8];
    if (!reading(PyBytes_AS_STRING(given), PyBytes_GET_SIZE(given), parts))
        Py_RETURN_NONE;
    return packed(parts, many);
}

PyDoc_STRVAR(value_doc, "value(line)\n--\n\nReturn the value of an unfolded field, or None.");

static PyObject *
value(PyObject *self, PyObject *line)
{
    if (!takes_bytes(line))
        return NULL;
    const char *at = PyBytes_AS_STRING(line);
    Py_ssize_t length = PyBytes_GET_SIZE(line);
    const char *colon = memchr(at, ':', (size_t)length);
    if (memchr(at, '\n', (size_t)length) != NULL)
        Py_RETURN_NONE;
    if (colon != NULL) {
        length -= colon + 1 - at;
        at = colon + 1;
    }
    trim(&at, &length);
    return PyBytes_FromStringAndSize(at, length);
}

PyDoc_STRVAR(cseq_doc, "cseq(value)\n--\n\nReturn (number, method), or None.");

static PyObject *
cseq(PyObject *self, PyObject *given)
{
    return parts_of(given, read_cseq, 2);
}

PyDoc_STRVAR(via_doc, "via(value)\n--\n\n"
"Return (transport, sent_by, host, port, branch, received, maddr, rport), or None.\n\n"
"Port is 0 and rport -1 where there is none.");

static PyObject *
via(PyObject *self, PyObject *given)
{
    return parts_of(given, read_via, 8);
}

PyDoc_STRVAR(address_doc, "address(value)\n--\n\n"
"Return (display_end, uri_begin, head_end, tag) of a value with brackets, or None.");

static PyObject *
address(PyObject *self, PyObject *given)
{
    return parts_of(given, read_address, 4);
}

PyDoc_STRVAR(uri_doc, "uri(raw)\n--\n\n"
"Return (scheme, user, password, host, port, params, headers) of a SIP URI, or None.\n\n"
"Password is None and port -1 where there is none.");

/* Tell whether octets may stand in a URI: visible ASCII but for '"', '<', '>' and '@'. */
static int
is_plain(const char *at, const char *end)
{
    for (; at < end; at++)
        if (*at <= ' ' || *at == 0x7f || *at == '"' || *at == '<' || *at == '>' || *at == '@')
            return 0;
    return 1;
}

static PyObject *
uri(PyObject *self, PyObject *given)
{
    if (!takes_bytes(given))
        return NULL;
    const char *raw = PyBytes_AS_STRING(given);
    const Py_ssize_t length = PyBytes_GET_SIZE(given);
    const char *end = raw + length;
    for (const char *at = raw; at < end; at++)
        if ((unsigned char)*at >= 0x80)
            Py_RETURN_NONE;
    int secure = 0;
    if (length < 5 || lower(raw[0]) != 's' || lower(raw[1]) != 'i' || lower(raw[2]) != 'p')
        Py_RETURN_NONE;
    if (lower(raw[3]) == 's')
        secure = 1;
    if (raw[3 + secure] != ':')
        Py_RETURN_NONE;
    const char *at = raw + 4 + secure;
    const char *sign = memchr(at, '@', (size_t)(end - at));
    const char *user = at, *user_end = at, *password = NULL;
    const char *rest = at;
    if (sign != NULL) {
        rest = sign + 1;
        user_end = sign;
        if (!is_plain(user, sign))
            Py_RETURN_NONE;
        const char *colon = memchr(user, ':', (size_t)(sign - user));
        if (colon != NULL) {
            password = colon + 1;
            user_end = colon;
        }
        if (user_end == user)
            Py_RETURN_NONE;
    }
    if (!is_plain(rest, end) || memchr(rest, ',', (size_t)(end - rest)) != NULL)
        Py_RETURN_NONE;
    const char *question = memchr(rest, '?', (size_t)(end - rest));
    const char *params_end = question == NULL ? end : question;
    const char *semicolon = memchr(rest, ';', (size_t)(params_end - rest));
    const char *host_end = semicolon == NULL ? params_end : semicolon;
    const char *colon = memchr(rest, ':', (size_t)(host_end - rest));
    long port = -1;
    if (colon != NULL) {
        port = number_of(colon + 1, host_end - colon - 1);
        if (port < 0 || port > 65535)
            Py_RETURN_NONE;
        host_end = colon;
    }
    if (!is_kind(rest, host_end - rest, HOST))
        Py_RETURN_NONE;
    PyObject *params = PyList_New(0);
    if (params == NULL)
        return NULL;
    for (at = semicolon; at != NULL && at < params_end;) {
        const char *name = at + 1;
        const char *next = memchr(name, ';', (size_t)(params_end - name));
        if (next == NULL)
            next = params_end;
        const char *equals = memchr(name, '=', (size_t)(next - name));
        const char *name_end = equals == NULL ? next : equals;
        const char *content = equals == NULL ? next : equals + 1;
        if (name_end == name) {
            Py_DECREF(params);
            Py_RETURN_NONE;
        }
        PyObject *both[2] = {
            lowered(name, name_end - name),
            PyBytes_FromStringAndSize(content, next - content),
        };
        PyObject *pair = packed(both, 2);
        int failed = pair == NULL || PyList_Append(params, pair) < 0;
        Py_XDECREF(pair);
        if (failed) {
            Py_DECREF(params);
            return NULL;
        }
        at = next;
    }
    const char *headers = question == NULL ? end : question + 1;
    PyObject *parts[7] = {
        PyBytes_FromStringAndSize(secure ? "sips" : "sip", 3 + secure),
        PyBytes_FromStringAndSize(user, user_end - user),
        password == NULL ? Py_NewRef(Py_None)
                         : PyBytes_FromStringAndSize(password, sign - password),
        lowered(rest, host_end - rest),
        PyLong_FromLong(port),
        params,
        PyBytes_FromStringAndSize(headers, end - headers),
    };
    return packed(parts, 7);
}

PyDoc_STRVAR(digest_doc, "digest(value)\n--\n\n"
"Return the parameters of one Digest challenge or of credentials, by name in lower case, or None.");

static PyObject *
digest(PyObject *self, PyObject *given)
{
    if (!takes_bytes(given))
        return NULL;
    const char *at = PyBytes_AS_STRING(given);
    const char *end = at + PyBytes_GET_SIZE(given);
    static const char scheme[] = "digest ";
    for (int i = 0; i < 7; i++, at++)
        if (at == end || lower(*at) != scheme[i])
            Py_RETURN_NONE;
    PyObject *params = PyDict_New();
    while (params != NULL) {
        const char *name = at;
        while (at < end && kinds[(unsigned char)*at] & TOKEN)
            at++;
        const Py_ssize_t name_length = at - name;
        if (name_length == 0 || end - at < 2 || *at++ != '=')
            break;
        const int quoted = *at == '"';
        const char *content = at += quoted;
        if (quoted)
            while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= ' ' && *at != 0x7f)
                at++;
        else
            while (at < end && kinds[(unsigned char)*at] & TOKEN)
                at++;
        const Py_ssize_t length = at - content;
        if (quoted ? at == end || *at++ != '"' : length == 0)
            break;
        PyObject *key = lowered(name, name_length);
        PyObject *value = PyBytes_FromStringAndSize(content, length);
        const Py_ssize_t before = PyDict_GET_SIZE(params);
        const int failed = key == NULL || value == NULL || PyDict_SetItem(params, key, value) < 0;
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (failed) {
            Py_DECREF(params);
            return NULL;
        }
        if (PyDict_GET_SIZE(params) == before)
            break; /* there twice */
        if (at == end)
            return params;
        if (*at++ != ',')
            break;
        while (at < end && *at == ' ')
            at++;
    }
    if (params == NULL)
        return NULL;
    Py_DECREF(params);
    Py_RETURN_NONE;
}

/* -- whose a message is ---------------------------------------------------------------- */

static PyObject *
owner_named(const char *at, const char *end, long workers) /* see uacproxy.sip.token_hash */
{
    uint32_t hash = 0x811c9dc5u;
    for (; at < end; at++)
        hash = (hash ^ (unsigned char)*at) * 0x01000193u;
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return PyLong_FromLong((long)((hash ^ hash >> 16) % (uint32_t)workers));
}

/* Take octets and how many workers there are; 0 with an exception set where it is not that. */
static int
takes_workers(PyObject *args, PyObject **given, long *workers)
{
    if (!PyArg_ParseTuple(args, "O!l", &PyBytes_Type, given, workers))
        return 0;
    if (*workers < 1)
        PyErr_SetString(PyExc_ValueError, "no workers");
    return *workers >= 1;
}

PyDoc_STRVAR(token_owner_doc, "token_owner(token, workers)\n--\n\n"
"See uacproxy.sip.owner.owner_of_token.");

static PyObject *
token_owner(PyObject *self, PyObject *args)
{
    PyObject *given;
    long workers;
    if (!takes_workers(args, &given, &workers))
        return NULL;
    const char *at = PyBytes_AS_STRING(given);
    return owner_named(at, at + PyBytes_GET_SIZE(given), workers);
}

static int
is_one_of(char c, const char *some)
{
    return c != 0 && strchr(some, c) != NULL;
}

static int
begins(const char *at, const char *end, const char *word) /* the word in lower case */
{
    for (; *word != 0; at++, word++)
        if (at >= end || lower(*at) != *word)
            return 0;
    return 1;
}

/* Find what follows branch=z9hG4bK, or the user of a SIP URI; return its end, or NULL. */
static const char *
decisive(const char *at, const char *end, int is_response, const char **begin)
{
    for (; at < end; at++) {
        const char *stop;
        if (is_response) {
            if (!begins(at, end, "branch=") || end - at < 14 || memcmp(at + 7, "z9hG4bK", 7) != 0)
                continue;
            *begin = stop = at + 14;
            while (stop < end && !is_one_of(*stop, ".;, \t\r\n"))
                stop++;
        } else {
            if (!begins(at, end, "sip:") && !begins(at, end, "sips:"))
                continue;
            *begin = stop = at + (at[3] == ':' ? 4 : 5);
            while (stop < end && !is_one_of(*stop, "@<>;, \t\r\n"))
                stop++;
            if (stop == end)
                return NULL;
            if (*stop != '@') {
                at = stop; /* whatever begins in between ends here too */
                continue;
            }
        }
        if (stop > *begin)
            return stop;
    }
    return NULL;
}

/* The first character of the name where it is Via, To or Call-ID, long or short; else 0. */
static char
deciding_name(const char *at, const char *end, const char **after)
{
    static const char *const names[] = {"via", "v", "to", "t", "call-id", "i"};
    for (int i = 0; i < 6; i++) {
        if (!begins(at, end, names[i]))
            continue;
        const char *colon = at + strlen(names[i]);
        while (colon < end && (*colon == ' ' || *colon == '\t'))
            colon++;
        if (colon < end && *colon == ':') {
            *after = colon + 1;
            return names[i][0] == 'i' ? 'c' : names[i][0];
        }
    }
    return 0;
}

PyDoc_STRVAR(owner_doc, "owner(octets, workers)\n--\n\n"
"See uacproxy.sip.owner.find_owner, which gives the same answer to everything.");

static PyObject *
owner(PyObject *self, PyObject *args)
{
    PyObject *given;
    long workers;
    if (!takes_workers(args, &given, &workers))
        return NULL;
    const char *at = PyBytes_AS_STRING(given);
    const char *end = at + PyBytes_GET_SIZE(given);
    while (at < end && (*at == '\r' || *at == '\n'))
        at++;
    const int is_response = begins(at, end, "sip/");
    char decides = is_response ? 'v' : 0;
    if (end - at >= 9 && memcmp(at, "REGISTER ", 9) == 0)
        decides = 't';
    const char *call_id = NULL, *call_id_end = NULL;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (at == end || *at == '\n' || (*at == '\r' && end - at > 1 && at[1] == '\n'))
            break;
        const char *value, *begin, *stop;
        const char name = deciding_name(at, end, &value);
        if (name == 0)
            continue;
        const char *value_end = value;
        for (;; value_end++) {
            value_end = memchr(value_end, '\n', (size_t)(end - value_end));
            if (value_end == NULL)
                value_end = end;
            if (end - value_end < 2 || (value_end[1] != ' ' && value_end[1] != '\t'))
                break;
        }
        at = value_end;
        if (name == decides) {
            decides = 0;
            stop = decisive(value, value_end, is_response, &begin);
            if (stop != NULL)
                return owner_named(begin, stop, workers);
        } else if (name == 'c' && call_id == NULL) {
            while (value < value_end && is_one_of(*value, " \t\r\n"))
                value++;
            for (stop = value; stop < value_end && !is_one_of(*stop, " \t\r\n");)
                stop++;
            if (stop > value) {
                call_id = value;
                call_id_end = stop;
                if (decides == 0)
                    break;
            }
        }
    }
    if (call_id == NULL)
        return PyLong_FromLong(-1);
    return owner_named(call_id, call_id_end, workers);
}

/* -- the module ------------------------------------------------------------------------ */

static PyMethodDef functions[] = {
    {"know", know, METH_VARARGS, know_doc},
    {"split", (PyCFunction)(void (*)(void))split, METH_FASTCALL, split_doc},
    {"value", value, METH_O, value_doc},
    {"cseq", cseq, METH_O, cseq_doc},
    {"via", via, METH_O, via_doc},
    {"address", address, METH_O, address_doc},
    {"uri", uri, METH_O, uri_doc},
    {"digest", digest, METH_O, digest_doc},
    {"owner", owner, METH_VARARGS, owner_doc},
    {"token_owner", token_owner, METH_VARARGS, token_owner_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "uacproxy.sip._scan",
    .m_doc = "Reading what is usual in one pass; None says that Python is to look.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__scan(void)
{
    for (int c = 0; c < 256; c++) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
            kinds[c] |= TOKEN | HOST;
        if (c >= '0' && c <= '9')
            kinds[c] |= DIGIT;
        if (c != 0 && strchr("-.!%*_+`'~", c) != NULL)
            kinds[c] |= TOKEN;
        if (c != 0 && strchr("-._", c) != NULL)
            kinds[c] |= HOST;
        if (c != 0 && strchr(" \t\r\n", c) != NULL)
            kinds[c] |= WHITE;
        if (kinds[c] & WHITE || c == ';' || c == '"')
            kinds[c] |= ENDS; /* a parameter without quotes */
        if (kinds[c] & (TOKEN | WHITE) || c >= 0x80)
            kinds[c] |= DISPLAY;
    }
    empty = PyBytes_FromStringAndSize("", 0);
    PyObject *made = empty == NULL ? NULL : PyModule_Create(&module);
    if (made != NULL && header_join(made) < 0)
        Py_CLEAR(made);
    return made;
}
