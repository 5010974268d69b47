/* The vendor's IPC functions (IPC.md 7), over one process-wide sb_net with one local client. */
#include <stdlib.h>
#include <string.h>

#include "facade.h"

static const char default_path[] = "/tmp/smartbus_ipc";

static struct sbi_facade ipc_facade = SBI_FACADE;

/* With the facade's lock held. */
static struct {
  int type, id;
  int32_t flow_id, notify_id; /* the counters go on after Release */
} own;

/* With the facade's lock held. The vendor's lets an Init under another name through while it is
 * connected, and then sends under a name that the server does not know. */
static int begin(int type, int id) {
  sb_net *net = sbi_facade_net(&ipc_facade);
  if (net != NULL && (type != own.type || id != own.id)) {
    if (sb_net_refused(net, own.id)) sb_net_disconnect(net, own.id);
    if (net->client_count > 0) return SB_EISCONN;
  }
  own.type = type;
  own.id = id;
  if (net != NULL) return SB_OK;
  net = sb_net_new(0, NULL, SB_NET_LOCAL);
  if (net != NULL) {
    net->flow_id = own.flow_id;
    net->notify_id = own.notify_id;
  }
  return sbi_facade_begin(&ipc_facade, net);
}

int SmartBusIpcCli_Init(int clienttype, int clientid) {
  if (clientid < 0) return SB_ECLIENT;
  if (clienttype <= 1) return SB_ECLIENTTYPE;
  pthread_rwlock_wrlock(&ipc_facade.lock);
  int result = begin(clienttype, clientid);
  pthread_rwlock_unlock(&ipc_facade.lock);
  return result;
}

void SmartBusIpcCli_Release(void) {
  pthread_rwlock_wrlock(&ipc_facade.lock);
  const sb_net *net = sbi_facade_net(&ipc_facade);
  if (net != NULL) {
    own.flow_id = net->flow_id;
    own.notify_id = net->notify_id;
  }
  pthread_rwlock_unlock(&ipc_facade.lock);
  sbi_facade_end(&ipc_facade);
}

void SmartBusIpcCli_SetCallBackFn(smartbus_cli_connection_cb connection,
                                  smartbus_cli_recvdata_cb recvdata,
                                  smartbus_cli_disconnect_cb disconnect,
                                  smartbus_invokeflow_ret_cb flow_ret,
                                  smartbus_global_connect_cb global_connect, void *arg) {
  sbi_facade_set(&ipc_facade, connection, recvdata, disconnect, flow_ret, global_connect, arg);
}

void SmartBusIpcCli_SetCallBackFnArg(void *arg) {
  atomic_store(&ipc_facade.hooks.arg, arg);
}

void SmartBusIpcCli_SetCallBackFnEx(const char *name, void *fn) {
  sbi_facade_set_named(&ipc_facade, name, fn);
}

void SmartBusIpcCli_SetTrace(smartbus_trace info, smartbus_trace error) {
  sbi_facade_trace(&ipc_facade, info, error);
}

void SmartBusIpcCli_SetTraceStr(smartbus_trace_str info, smartbus_trace_str error) {
  sbi_facade_trace_str(&ipc_facade, info, error);
}

int SmartBusIpcCli_CreateConnect(const char *username, const char *password, const char *add_info) {
  const char *path = getenv("SMARTBUS_IPC_SOCKET");
  if (path == NULL || *path == 0) path = default_path;
  sb_net *net = sbi_facade_enter(&ipc_facade);
  if (net == NULL) return sbi_facade_leave(&ipc_facade, SB_EARGUMENT);
  if (sb_net_refused(net, own.id)) sb_net_disconnect(net, own.id);
  return sbi_facade_leave(
      &ipc_facade, sb_net_connect_local(net, own.id, own.type, path, username, password, add_info));
}

int SmartBusIpcCli_SendData(unsigned char cmd, unsigned char cmdtype, int dst_unitid,
                            int dst_clientid, int dst_clienttype, const void *data, int size) {
  if (cmdtype == SBI_INTERNAL) return SB_ECMDTYPE; /* before all other checks */
  sb_net *net = sbi_facade_enter(&ipc_facade);
  return sbi_facade_leave(&ipc_facade, sb_net_send(net, own.id, cmd, cmdtype, dst_unitid,
                                                   dst_clientid, dst_clienttype, data, size));
}

int SmartBusIpcCli_SendPing(int dst_unitid, int dst_clientid, int dst_clienttype, const void *data,
                            int size) {
  sb_net *net = sbi_facade_enter(&ipc_facade);
  return sbi_facade_leave(
      &ipc_facade, sb_net_ping(net, own.id, dst_unitid, dst_clientid, dst_clienttype, data, size));
}

/* A text that is too long is refused even before Init (IPC.md 7.2). */
static int early(const sb_net *net, const char *text, size_t longest) {
  if (net != NULL) return SB_OK;
  return text != NULL && strlen(text) > longest ? SB_ETOOBIG : SB_ENOINIT;
}

int SmartBusIpcCli_RemoteInvokeFlow(int server_unitid, int processindex, const char *projectid,
                                    const char *flowid, int mode, int timeout,
                                    const char *in_valuelist) {
  if (server_unitid > SBI_MAX_SERVER_UNIT) return SB_EUNIT;
  sb_net *net = sbi_facade_enter(&ipc_facade);
  int result = early(net, in_valuelist, SBI_MAX_FLOW_TEXT);
  if (result == SB_OK)
    result = sb_net_call_flow(net, own.id, server_unitid, processindex, projectid, flowid, mode,
                              timeout, in_valuelist);
  return sbi_facade_leave(&ipc_facade, result);
}

int SmartBusIpcCli_SendNotify(int server_unitid, int processindex, const char *projectid,
                              const char *title, int mode, int expires, const char *param) {
  if (server_unitid > SBI_MAX_SERVER_UNIT) return SB_EUNIT;
  sb_net *net = sbi_facade_enter(&ipc_facade);
  int result = early(net, param, SBI_MAX_NOTIFY_TEXT);
  if (result == SB_OK)
    result = sb_net_notify(net, own.id, server_unitid, processindex, projectid, title, mode,
                           expires, param);
  return sbi_facade_leave(&ipc_facade, result);
}
