/* The vendor's NET functions, over one process-wide sb_net. */
#include "facade.h"

enum { MIN_UNIT = 16, MAX_UNIT = 47 };

static struct sbi_facade net_facade = SBI_FACADE;

/* What the network does not show of a call (NET.md 9.7): that it was refused, and flow ids. */
static int said(const char *function, int client, int result) {
  if (result < 0)
    sbi_facade_say(&net_facade, 1, "%s, client %d: error %d", function, client, result);
  else if (result > 0)
    sbi_facade_say(&net_facade, 0, "%s, client %d: id %d", function, client, result);
  return result;
}

static int begin(int unit, const char *params) {
  if (unit < MIN_UNIT || unit > MAX_UNIT) return SB_EUNIT;
  int result = SB_OK;
  pthread_rwlock_wrlock(&net_facade.lock);
  sb_net *net = sbi_facade_net(&net_facade);
  if (net != NULL)
    sb_net_set_unit(net, unit);
  else
    result = sbi_facade_begin(&net_facade, sb_net_new(unit, params, 0));
  pthread_rwlock_unlock(&net_facade.lock);
  return result;
}

int SmartBusNetCli_InitEx(unsigned char unitid, const char *params) {
  int result = begin(unitid, params);
  sbi_facade_say(&net_facade, result < 0, "Init, unit %d: %d", unitid, result);
  return result;
}

int SmartBusNetCli_Init(unsigned char unitid) {
  return SmartBusNetCli_InitEx(unitid, NULL);
}

void SmartBusNetCli_Release(void) {
  sbi_facade_end(&net_facade);
}

void SmartBusNetCli_SetCallBackFn(smartbus_cli_connection_cb connection,
                                  smartbus_cli_recvdata_cb recvdata,
                                  smartbus_cli_disconnect_cb disconnect,
                                  smartbus_invokeflow_ret_cb flow_ret,
                                  smartbus_global_connect_cb global_connect, void *arg) {
  sbi_facade_set(&net_facade, connection, recvdata, disconnect, flow_ret, global_connect, arg);
}

void SmartBusNetCli_SetCallBackFnArg(void *arg) {
  atomic_store(&net_facade.hooks.arg, arg);
}

void SmartBusNetCli_SetCallBackFnEx(const char *name, void *fn) {
  sbi_facade_set_named(&net_facade, name, fn);
}

void SmartBusNetCli_SetTrace(smartbus_trace info, smartbus_trace error) {
  sbi_facade_trace(&net_facade, info, error);
}

void SmartBusNetCli_SetTraceStr(smartbus_trace_str info, smartbus_trace_str error) {
  sbi_facade_trace_str(&net_facade, info, error);
}

int SmartBusNetCli_CreateConnect(unsigned char local_clientid, int local_clienttype,
                                 const char *masterip, unsigned short masterport,
                                 const char *slaverip, unsigned short slaverport,
                                 const char *author_username, const char *author_pwd,
                                 const char *add_info) {
  sb_net *net = sbi_facade_enter(&net_facade);
  int result = net == NULL
                   ? SB_ENOINIT
                   : sb_net_connect(net, local_clientid, local_clienttype, masterip, masterport,
                                    slaverip, slaverport, author_username, author_pwd, add_info);
  sbi_facade_leave(&net_facade, result);
  sbi_facade_say(&net_facade, result < 0, "CreateConnect, client %d: %d", local_clientid, result);
  return result;
}

int SmartBusNetCli_SendData(unsigned char local_clientid, unsigned char cmd, unsigned char cmdtype,
                            int dst_unitid, int dst_clientid, int dst_clienttype, const void *data,
                            int size) {
  sb_net *net = sbi_facade_enter(&net_facade);
  int result = sb_net_send(net, local_clientid, cmd, cmdtype, dst_unitid, dst_clientid,
                           dst_clienttype, data, size);
  return said("SendData", local_clientid, sbi_facade_leave(&net_facade, result));
}

int SmartBusNetCli_SendPing(unsigned char local_clientid, int dst_unitid, int dst_clientid,
                            int dst_clienttype, const void *data, int size) {
  sb_net *net = sbi_facade_enter(&net_facade);
  int result =
      sb_net_ping(net, local_clientid, dst_unitid, dst_clientid, dst_clienttype, data, size);
  return said("SendPing", local_clientid, sbi_facade_leave(&net_facade, result));
}

int SmartBusNetCli_RemoteInvokeFlow(unsigned char local_clientid, int server_unitid, int ipscindex,
                                    const char *projectid, const char *flowid, int mode,
                                    int timeout, const char *in_valuelist) {
  sb_net *net = sbi_facade_enter(&net_facade);
  int result = sb_net_call_flow(net, local_clientid, server_unitid, ipscindex, projectid, flowid,
                                mode, timeout, in_valuelist);
  return said("RemoteInvokeFlow", local_clientid, sbi_facade_leave(&net_facade, result));
}

int SmartBusNetCli_SendNotify(unsigned char local_clientid, int server_unitid, int processindex,
                              const char *projectid, const char *title, int mode, int expires,
                              const char *param) {
  sb_net *net = sbi_facade_enter(&net_facade);
  int result = sb_net_notify(net, local_clientid, server_unitid, processindex, projectid, title,
                             mode, expires, param);
  return said("SendNotify", local_clientid, sbi_facade_leave(&net_facade, result));
}
