/* The header of a message: its fields in order, where they stand in the octets that came.
 *
 * A line becomes an object for whoever asks for it, and an edit puts another one in its
 * place; what nobody asks for or edits is copied once, from the octets that came to those
 * that leave. ``uacproxy.sip.header`` says what each function does and has the same in
 * Python (tests/unit/test_sip_header.py holds both to the same answers).
 */

#include "_header.h"

#include <string.h>

#define SPARE 3 /* fields that may be added before more room is made */

typedef struct {
    PyObject_HEAD
    PyObject *octets; /* NULL where no line stands in any */
    Field *fields;
    Py_ssize_t many, room;
} Header;

static PyTypeObject header_type;

static Header *
header_new(PyObject *octets, Py_ssize_t room)
{
    Header *made = PyObject_New(Header, &header_type);
    if (made == NULL)
        return NULL;
    made->octets = Py_XNewRef(octets);
    made->many = 0;
    made->room = room;
    made->fields = PyMem_New(Field, room);
    if (made->fields == NULL) {
        Py_DECREF(made);
        PyErr_NoMemory();
        return NULL;
    }
    return made;
}

static void
header_dealloc(Header *self)
{
    for (Py_ssize_t i = 0; i < self->many; i++) {
        Py_DECREF(self->fields[i].name);
        Py_XDECREF(self->fields[i].line);
    }
    PyMem_Free(self->fields);
    Py_XDECREF(self->octets);
    PyObject_Free(self);
}

static PyTypeObject header_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "uacproxy.sip._scan.Header",
    .tp_doc = "Fields of a message in their order; see uacproxy.sip.header.",
    .tp_basicsize = sizeof(Header),
    .tp_dealloc = (destructor)header_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

PyObject *
header_of_octets(PyObject *octets, const Field *fields, Py_ssize_t many)
{
    Header *made = header_new(octets, many + SPARE);
    if (made == NULL) {
        for (Py_ssize_t i = 0; i < many; i++)
            Py_DECREF(fields[i].name);
        return NULL;
    }
    memcpy(made->fields, fields, (size_t)many * sizeof *fields);
    made->many = many;
    return (PyObject *)made;
}

/* -- arguments ------------------------------------------------------------------------- */

/* Return the header that is the first of so many arguments, or NULL with an exception set. */
static Header *
header_from(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t wanted)
{
    if (nargs == wanted && Py_IS_TYPE(args[0], &header_type))
        return (Header *)args[0];
    PyErr_Format(PyExc_TypeError, "a header and %zd more are wanted", wanted - 1);
    return NULL;
}

/* Return the place that an argument names, -1 with an exception set where there is none. */
static Py_ssize_t
place_from(PyObject *given, Py_ssize_t end)
{
    const Py_ssize_t at = PyLong_AsSsize_t(given);
    if (at >= 0 && at < end)
        return at;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_IndexError, "no such field");
    return -1;
}

static int
is_octets(PyObject *given)
{
    if (PyBytes_CheckExact(given))
        return 1;
    PyErr_Format(PyExc_TypeError, "bytes, not %s", Py_TYPE(given)->tp_name);
    return 0;
}

static int
is_list(PyObject *given)
{
    if (PyList_CheckExact(given))
        return 1;
    PyErr_Format(PyExc_TypeError, "a list, not %s", Py_TYPE(given)->tp_name);
    return 0;
}

/* -- looking --------------------------------------------------------------------------- */

static const char *
text_of(const Header *self, const Field *field, Py_ssize_t *length)
{
    if (field->line != NULL) {
        *length = PyBytes_GET_SIZE(field->line);
        return PyBytes_AS_STRING(field->line);
    }
    *length = field->end - field->begin;
    return PyBytes_AS_STRING(self->octets) + field->begin;
}

static char *
written(char *to, const char *text, Py_ssize_t length)
{
    memcpy(to, text, (size_t)length);
    memcpy(to + length, "\r\n", 2);
    return to + length + 2;
}

static int
is_same(PyObject *name, PyObject *other)
{
    return name == other ||
           (PyBytes_GET_SIZE(name) == PyBytes_GET_SIZE(other) &&
            memcmp(PyBytes_AS_STRING(name), PyBytes_AS_STRING(other),
                   (size_t)PyBytes_GET_SIZE(name)) == 0);
}

static PyObject *
find(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    const Header *self = header_from(args, nargs, 3);
    if (self == NULL || !is_octets(args[1]))
        return NULL;
    Py_ssize_t at = PyLong_AsSsize_t(args[2]);
    if (at < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_IndexError, "no such field");
        return NULL;
    }
    for (; at < self->many; at++)
        if (is_same(self->fields[at].name, args[1]))
            return PyLong_FromSsize_t(at);
    return PyLong_FromLong(-1);
}

static PyObject *
line_at(const Header *self, Py_ssize_t at)
{
    const Field *field = &self->fields[at];
    if (field->line != NULL)
        return Py_NewRef(field->line);
    Py_ssize_t length;
    const char *text = text_of(self, field, &length);
    return PyBytes_FromStringAndSize(text, length);
}

static PyObject *
line(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    const Header *self = header_from(args, nargs, 2);
    const Py_ssize_t at = self == NULL ? -1 : place_from(args[1], self->many);
    return at < 0 ? NULL : line_at(self, at);
}

static int
is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static PyObject *
value(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    const Header *self = header_from(args, nargs, 2);
    const Py_ssize_t at = self == NULL ? -1 : place_from(args[1], self->many);
    if (at < 0)
        return NULL;
    Py_ssize_t length;
    const char *text = text_of(self, &self->fields[at], &length), *end = text + length;
    if (memchr(text, '\n', (size_t)length) != NULL)
        Py_RETURN_NONE;
    const char *colon = memchr(text, ':', (size_t)length);
    if (colon != NULL)
        text = colon + 1;
    while (text < end && is_white(*text))
        text++;
    while (end > text && is_white(end[-1]))
        end--;
    return PyBytes_FromStringAndSize(text, end - text);
}

static PyObject *
count(PyObject *module, PyObject *header)
{
    const Header *self = header_from(&header, 1, 1);
    return self == NULL ? NULL : PyLong_FromSsize_t(self->many);
}

static PyObject *
names(PyObject *module, PyObject *header)
{
    const Header *self = header_from(&header, 1, 1);
    PyObject *made = self == NULL ? NULL : PyList_New(self->many);
    for (Py_ssize_t i = 0; made != NULL && i < self->many; i++)
        PyList_SET_ITEM(made, i, Py_NewRef(self->fields[i].name));
    return made;
}

static PyObject *
lines(PyObject *module, PyObject *header)
{
    const Header *self = header_from(&header, 1, 1);
    PyObject *made = self == NULL ? NULL : PyList_New(self->many);
    for (Py_ssize_t i = 0; made != NULL && i < self->many; i++) {
        PyObject *one = line_at(self, i);
        if (one == NULL)
            Py_CLEAR(made);
        else
            PyList_SET_ITEM(made, i, one);
    }
    return made;
}

/* -- making and editing ---------------------------------------------------------------- */

static PyObject *
of_lines(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "names and lines are wanted");
        return NULL;
    }
    if (!is_list(args[0]) || !is_list(args[1]))
        return NULL;
    const Py_ssize_t many = PyList_GET_SIZE(args[0]);
    if (PyList_GET_SIZE(args[1]) != many) {
        PyErr_SetString(PyExc_ValueError, "as many names as lines are wanted");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < many; i++)
        if (!is_octets(PyList_GET_ITEM(args[0], i)) || !is_octets(PyList_GET_ITEM(args[1], i)))
            return NULL;
    Header *made = header_new(NULL, many + SPARE);
    if (made == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < many; i++)
        made->fields[i] = (Field){Py_NewRef(PyList_GET_ITEM(args[0], i)),
                                  Py_NewRef(PyList_GET_ITEM(args[1], i)), 0, 0};
    made->many = many;
    return (PyObject *)made;
}

static PyObject *
copied(PyObject *module, PyObject *header)
{
    const Header *self = header_from(&header, 1, 1);
    Header *made = self == NULL ? NULL : header_new(self->octets, self->many + SPARE);
    if (made == NULL)
        return NULL;
    memcpy(made->fields, self->fields, (size_t)self->many * sizeof *self->fields);
    for (Py_ssize_t i = 0; i < self->many; i++) {
        Py_INCREF(made->fields[i].name);
        Py_XINCREF(made->fields[i].line);
    }
    made->many = self->many;
    return (PyObject *)made;
}

static int
is_among(PyObject *name, PyObject *wanted)
{
    const Py_ssize_t many = PyList_GET_SIZE(wanted);
    for (Py_ssize_t i = 0; i < many; i++)
        if (name == PyList_GET_ITEM(wanted, i))
            return 1;
    for (Py_ssize_t i = 0; i < many; i++)
        if (is_same(name, PyList_GET_ITEM(wanted, i)))
            return 1;
    return 0;
}

static PyObject *
kept(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    const Header *self = header_from(args, nargs, 2);
    if (self == NULL || !is_list(args[1]))
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[1]); i++)
        if (!is_octets(PyList_GET_ITEM(args[1], i)))
            return NULL;
    Py_ssize_t many = 0, length = 0, one;
    for (Py_ssize_t i = 0; i < self->many; i++) {
        if (!is_among(self->fields[i].name, args[1]))
            continue;
        text_of(self, &self->fields[i], &one);
        many++;
        length += one + 2;
    }
    if (length > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "too many octets");
        return NULL;
    }
    PyObject *octets = PyBytes_FromStringAndSize(NULL, length);
    Header *made = octets == NULL ? NULL : header_new(octets, many + SPARE);
    Py_XDECREF(octets);
    if (made == NULL)
        return NULL;
    char *const first = PyBytes_AS_STRING(octets), *to = first;
    for (Py_ssize_t i = 0; i < self->many; i++) {
        const Field *field = &self->fields[i];
        if (!is_among(field->name, args[1]))
            continue;
        const char *text = text_of(self, field, &one);
        const uint32_t begin = (uint32_t)(to - first);
        made->fields[made->many++] =
            (Field){Py_NewRef(field->name), NULL, begin, begin + (uint32_t)one};
        to = written(to, text, one);
    }
    return (PyObject *)made;
}

static PyObject *
put(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Header *self = header_from(args, nargs, 3);
    const Py_ssize_t at = self == NULL ? -1 : place_from(args[1], self->many);
    if (at < 0 || !is_octets(args[2]))
        return NULL;
    Py_XSETREF(self->fields[at].line, Py_NewRef(args[2]));
    Py_RETURN_NONE;
}

static PyObject *
insert(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Header *self = header_from(args, nargs, 4);
    const Py_ssize_t at = self == NULL ? -1 : place_from(args[1], self->many + 1);
    if (at < 0 || !is_octets(args[2]) || !is_octets(args[3]))
        return NULL;
    if (self->many == self->room) {
        const Py_ssize_t room = self->room + self->room / 2 + SPARE;
        Field *fields = self->fields;
        if (PyMem_Resize(fields, Field, room) == NULL)
            return PyErr_NoMemory();
        self->fields = fields;
        self->room = room;
    }
    Field *field = &self->fields[at];
    memmove(field + 1, field, (size_t)(self->many - at) * sizeof *field);
    *field = (Field){Py_NewRef(args[2]), Py_NewRef(args[3]), 0, 0};
    self->many++;
    Py_RETURN_NONE;
}

static PyObject *
cut(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Header *self = header_from(args, nargs, 2);
    const Py_ssize_t at = self == NULL ? -1 : place_from(args[1], self->many);
    if (at < 0)
        return NULL;
    Field *field = &self->fields[at];
    const Field gone = *field;
    self->many--;
    memmove(field, field + 1, (size_t)(self->many - at) * sizeof *field);
    Py_DECREF(gone.name);
    Py_XDECREF(gone.line);
    Py_RETURN_NONE;
}

/* -- putting together ------------------------------------------------------------------ */

static Py_ssize_t
length_of(const Header *self)
{
    Py_ssize_t length = 2 * self->many, one;
    for (Py_ssize_t i = 0; i < self->many; i++) {
        text_of(self, &self->fields[i], &one);
        length += one;
    }
    return length;
}

static PyObject *
length(PyObject *module, PyObject *header)
{
    const Header *self = header_from(&header, 1, 1);
    return self == NULL ? NULL : PyLong_FromSsize_t(length_of(self));
}

static PyObject *
joined(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    const Header *self = header_from(args, nargs, 3);
    if (self == NULL || !is_octets(args[1]) || !is_octets(args[2]))
        return NULL;
    const Py_ssize_t start = PyBytes_GET_SIZE(args[1]), body = PyBytes_GET_SIZE(args[2]);
    PyObject *made = PyBytes_FromStringAndSize(NULL, start + 4 + length_of(self) + body);
    if (made == NULL)
        return NULL;
    char *to = written(PyBytes_AS_STRING(made), PyBytes_AS_STRING(args[1]), start);
    for (Py_ssize_t i = 0; i < self->many; i++) {
        const Field *field = &self->fields[i];
        Py_ssize_t one;
        const char *text = text_of(self, field, &one);
        if (field->line == NULL) /* what still stands together goes together */
            for (; i + 1 < self->many && self->fields[i + 1].line == NULL &&
                   self->fields[i + 1].begin == self->fields[i].end + 2;
                 i++)
                one += 2 + self->fields[i + 1].end - self->fields[i + 1].begin;
        to = written(to, text, one);
    }
    to = written(to, "", 0);
    memcpy(to, PyBytes_AS_STRING(args[2]), (size_t)body);
    return made;
}

/* -- the functions --------------------------------------------------------------------- */

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL, NULL

static PyMethodDef functions[] = {
    {"of_lines", FAST(of_lines)},
    {"copied", copied, METH_O, NULL},
    {"kept", FAST(kept)},
    {"find", FAST(find)},
    {"line", FAST(line)},
    {"value_at", FAST(value)},
    {"count", count, METH_O, NULL},
    {"names", names, METH_O, NULL},
    {"lines", lines, METH_O, NULL},
    {"put", FAST(put)},
    {"insert", FAST(insert)},
    {"cut", FAST(cut)},
    {"length", length, METH_O, NULL},
    {"joined", FAST(joined)},
    {NULL, NULL, 0, NULL},
};

int
header_join(PyObject *module)
{
    return PyType_Ready(&header_type) < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
