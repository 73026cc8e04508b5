/* Many datagrams for one call of the kernel: recvmmsg(2) and sendmmsg(2).
 *
 * What the pure form in wire.py does with recvfrom and sendto, for one bound socket. A
 * peer's address is its struct sockaddr, as octets nobody looks into; ``address`` and
 * ``where`` turn it into what Python's sockets take, and back.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { MOST = 64, ROOM = 65536, CONTROL = CMSG_SPACE(sizeof(uint32_t)) };

typedef struct {
    struct mmsghdr messages[MOST];
    struct iovec vectors[MOST];
    struct sockaddr_in6 peers[MOST];
    _Alignas(struct cmsghdr) char control[MOST][CONTROL];
    char octets[MOST][ROOM]; /* touched only as far as datagrams are long */
} Buffers;

static Buffers *buffers; /* one for all sockets: a read is over before the next begins */

PyDoc_STRVAR(receive_doc, "receive(fd, octets, wheres)\n--\n\n"
"Append what waits to two lists; return how many datagrams the kernel says it dropped so\n"
"far, -1 where it says nothing. Nothing is appended where nothing waits.");

static PyObject *
receive(PyObject *self, PyObject *args)
{
    int fd;
    PyObject *octets, *wheres;
    if (!PyArg_ParseTuple(args, "iO!O!", &fd, &PyList_Type, &octets, &PyList_Type, &wheres))
        return NULL;
    for (int i = 0; i < MOST; i++) {
        struct msghdr *head = &buffers->messages[i].msg_hdr;
        head->msg_namelen = sizeof buffers->peers[i];
        head->msg_controllen = CONTROL;
    }
    const int count = recvmmsg(fd, buffers->messages, MOST, MSG_DONTWAIT, NULL);
    if (count < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
            return PyLong_FromLong(-1);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    long long dropped = -1;
    for (int i = 0; i < count; i++) {
        struct msghdr *head = &buffers->messages[i].msg_hdr;
        PyObject *one = PyBytes_FromStringAndSize(buffers->octets[i],
                                                  (Py_ssize_t)buffers->messages[i].msg_len);
        PyObject *where = PyBytes_FromStringAndSize((char *)&buffers->peers[i],
                                                    (Py_ssize_t)head->msg_namelen);
        int failed = one == NULL || where == NULL || PyList_Append(octets, one) < 0 ||
                     PyList_Append(wheres, where) < 0;
        Py_XDECREF(one);
        Py_XDECREF(where);
        if (failed)
            return NULL;
        for (struct cmsghdr *note = CMSG_FIRSTHDR(head); note != NULL;
             note = CMSG_NXTHDR(head, note))
            if (note->cmsg_level == SOL_SOCKET && note->cmsg_type == SO_RXQ_OVFL) {
                uint32_t so_far;
                memcpy(&so_far, CMSG_DATA(note), sizeof so_far);
                dropped = so_far;
            }
    }
    return PyLong_FromLongLong(dropped);
}

PyDoc_STRVAR(send_doc, "send(fd, octets, wheres, begin)\n--\n\n"
"Send the datagrams of two lists from index begin on; return the index of the first that\n"
"did not leave. Raises OSError where that was the very first, BlockingIOError among them.");

static PyObject *
send_many(PyObject *self, PyObject *args)
{
    int fd;
    PyObject *octets, *wheres;
    Py_ssize_t begin;
    if (!PyArg_ParseTuple(args, "iO!O!n", &fd, &PyList_Type, &octets, &PyList_Type, &wheres,
                          &begin))
        return NULL;
    const Py_ssize_t length = PyList_GET_SIZE(octets);
    if (PyList_GET_SIZE(wheres) != length || begin < 0) {
        PyErr_SetString(PyExc_ValueError, "as many addresses as datagrams");
        return NULL;
    }
    struct mmsghdr messages[MOST];
    struct iovec vectors[MOST];
    Py_ssize_t at = begin;
    while (at < length) {
        int many = 0;
        for (; many < MOST && at + many < length; many++) {
            PyObject *one = PyList_GET_ITEM(octets, at + many);
            PyObject *where = PyList_GET_ITEM(wheres, at + many);
            if (!PyBytes_Check(one) || !PyBytes_Check(where)) {
                PyErr_SetString(PyExc_TypeError, "datagrams and addresses are octets");
                return NULL;
            }
            vectors[many].iov_base = PyBytes_AS_STRING(one);
            vectors[many].iov_len = (size_t)PyBytes_GET_SIZE(one);
            messages[many].msg_hdr = (struct msghdr){
                .msg_name = PyBytes_AS_STRING(where),
                .msg_namelen = (socklen_t)PyBytes_GET_SIZE(where),
                .msg_iov = &vectors[many],
                .msg_iovlen = 1,
            };
        }
        const int count = sendmmsg(fd, messages, (unsigned)many, MSG_DONTWAIT);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            if (at > begin)
                break;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        at += count;
        if (count < many)
            break;
    }
    return PyLong_FromSsize_t(at);
}

PyDoc_STRVAR(address_doc, "address(where)\n--\n\nReturn the address as socket.sendto takes it.");

static PyObject *
address(PyObject *self, PyObject *where)
{
    char host[INET6_ADDRSTRLEN];
    if (PyBytes_Check(where) && PyBytes_GET_SIZE(where) == sizeof(struct sockaddr_in)) {
        struct sockaddr_in peer;
        memcpy(&peer, PyBytes_AS_STRING(where), sizeof peer);
        if (peer.sin_family == AF_INET && inet_ntop(AF_INET, &peer.sin_addr, host, sizeof host))
            return Py_BuildValue("si", host, (int)ntohs(peer.sin_port));
    }
    if (PyBytes_Check(where) && PyBytes_GET_SIZE(where) == sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 peer;
        memcpy(&peer, PyBytes_AS_STRING(where), sizeof peer);
        if (peer.sin6_family == AF_INET6 &&
            inet_ntop(AF_INET6, &peer.sin6_addr, host, sizeof host))
            return Py_BuildValue("siII", host, (int)ntohs(peer.sin6_port),
                                 (unsigned)ntohl(peer.sin6_flowinfo),
                                 (unsigned)peer.sin6_scope_id);
    }
    PyErr_SetString(PyExc_ValueError, "no address of IPv4 or IPv6");
    return NULL;
}

PyDoc_STRVAR(where_doc, "where(address)\n--\n\nReturn the octets of an address.");

static PyObject *
where(PyObject *self, PyObject *given)
{
    const char *host;
    int port;
    unsigned flow = 0, scope = 0;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "an address is a tuple");
        return NULL;
    }
    if (!PyArg_ParseTuple(given, "si|II", &host, &port, &flow, &scope))
        return NULL;
    if (port >= 0 && port <= 65535) {
        struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)port),
                                   .sin6_flowinfo = htonl(flow),
                                   .sin6_scope_id = scope};
        if (PyTuple_GET_SIZE(given) == 2 && inet_pton(AF_INET, host, &four.sin_addr) == 1)
            return PyBytes_FromStringAndSize((char *)&four, sizeof four);
        if (PyTuple_GET_SIZE(given) == 4 && inet_pton(AF_INET6, host, &six.sin6_addr) == 1)
            return PyBytes_FromStringAndSize((char *)&six, sizeof six);
    }
    PyErr_SetString(PyExc_ValueError, "no address of IPv4 or IPv6");
    return NULL;
}

static PyMethodDef functions[] = {
    {"receive", receive, METH_VARARGS, receive_doc},
    {"send", send_many, METH_VARARGS, send_doc},
    {"address", address, METH_O, address_doc},
    {"where", where, METH_O, where_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "uacproxy.transport._wire",
    .m_doc = "Many datagrams for one call of the kernel.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__wire(void)
{
    if (buffers == NULL) {
        buffers = PyMem_RawCalloc(1, sizeof *buffers);
        if (buffers == NULL)
            return PyErr_NoMemory();
        for (int i = 0; i < MOST; i++) {
            buffers->vectors[i] = (struct iovec){buffers->octets[i], ROOM};
            buffers->messages[i].msg_hdr = (struct msghdr){
                .msg_name = &buffers->peers[i],
                .msg_iov = &buffers->vectors[i],
                .msg_iovlen = 1,
                .msg_control = buffers->control[i],
            };
        }
    }
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddIntConstant(made, "RXQ_OVFL", SO_RXQ_OVFL) < 0)
        Py_CLEAR(made);
    return made;
}
