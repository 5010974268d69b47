/* SmartBus NET and IPC clients: the C ABI of the vendor's SDK, as its libraries are built (NET.md 10,
 * IPC.md 7), with the published headers' errors mended. This core implements it on top of sb_net.
 *
 * Differences that no caller can depend on: NULL strings and buffers are refused with -1 where the
 * vendor's library crashes, Release closes quietly and Init works again, the library may be called
 * from every callback, a 49th client id is refused with -21, nothing is written to stdout. Traces
 * have texts of their own, which are not part of the interface. */
#ifndef SMARTBUS_ABI_H
#define SMARTBUS_ABI_H

#include <stdint.h>

#include "smartbus_core.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma pack(push, 1)
typedef struct {
  uint16_t flag; /* 0x5B15 */
  char cmd;
  char cmdtype;
  char src_unit_client_type;
  char src_unit_id;
  char src_unit_client_id;
  char dest_unit_client_type;
  char dest_unit_id;
  char dest_unit_client_id;
  char reserved[2];
  int32_t packet_size;
  int32_t datalen;
} SMARTBUS_PACKET_HEAD;
#pragma pack(pop)

typedef void (*smartbus_cli_connection_cb)(void *arg, unsigned char local_clientid,
                                           int accesspoint_unitid, int ack);
typedef void (*smartbus_cli_recvdata_cb)(void *arg, unsigned char local_clientid,
                                         SMARTBUS_PACKET_HEAD *head, void *data, int size);
typedef void (*smartbus_cli_disconnect_cb)(void *arg, unsigned char local_clientid);
typedef void (*smartbus_invokeflow_ack_cb)(void *arg, unsigned char local_clientid,
                                           SMARTBUS_PACKET_HEAD *head, const char *projectid,
                                           int invoke_id, int ack, const char *msg);
typedef void (*smartbus_invokeflow_ret_cb)(void *arg, unsigned char local_clientid,
                                           SMARTBUS_PACKET_HEAD *head, const char *projectid,
                                           int invoke_id, int ret, const char *param);
typedef void (*smartbus_global_connect_cb)(void *arg, char unitid, char clientid, char clienttype,
                                           char accesspoint_unitid, char status,
                                           const char *add_info);
typedef void (*smartbus_trace)(const char *format, ...);
typedef void (*smartbus_trace_str)(const char *text);

/* unitid: 16..47. Again: changes the unit of all later frames. */
SB_API int SmartBusNetCli_Init(unsigned char unitid);
/* params: "key=value;…"; Wire=auto|2015|2018, FlowAckTimeout=ms and TraceHeartbeat=1 count for the
 * first Init only, others (NewLoop, OpenSignalProcess) are ignored. */
SB_API int SmartBusNetCli_InitEx(unsigned char unitid, const char *params);
SB_API void SmartBusNetCli_Release(void);

/* A callback can be set once; NULL leaves its place open. `arg` is always replaced. */
SB_API void SmartBusNetCli_SetCallBackFn(smartbus_cli_connection_cb connection,
                                         smartbus_cli_recvdata_cb recvdata,
                                         smartbus_cli_disconnect_cb disconnect,
                                         smartbus_invokeflow_ret_cb flow_ret,
                                         smartbus_global_connect_cb global_connect, void *arg);
SB_API void SmartBusNetCli_SetCallBackFnArg(void *arg);
/* name: that of the callback's type above. */
SB_API void SmartBusNetCli_SetCallBackFnEx(const char *name, void *fn);
SB_API void SmartBusNetCli_SetTrace(smartbus_trace info, smartbus_trace error);
SB_API void SmartBusNetCli_SetTraceStr(smartbus_trace_str info, smartbus_trace_str error);

SB_API int SmartBusNetCli_CreateConnect(unsigned char local_clientid, int local_clienttype,
                                        const char *masterip, unsigned short masterport,
                                        const char *slaverip, unsigned short slaverport,
                                        const char *author_username, const char *author_pwd,
                                        const char *add_info);
SB_API int SmartBusNetCli_SendData(unsigned char local_clientid, unsigned char cmd,
                                   unsigned char cmdtype, int dst_unitid, int dst_clientid,
                                   int dst_clienttype, const void *data, int size);
SB_API int SmartBusNetCli_SendPing(unsigned char local_clientid, int dst_unitid, int dst_clientid,
                                   int dst_clienttype, const void *data, int size);
SB_API int SmartBusNetCli_RemoteInvokeFlow(unsigned char local_clientid, int server_unitid,
                                           int ipscindex, const char *projectid, const char *flowid,
                                           int mode, int timeout, const char *in_valuelist);
SB_API int SmartBusNetCli_SendNotify(unsigned char local_clientid, int server_unitid,
                                     int processindex, const char *projectid, const char *title,
                                     int mode, int expires, const char *param);

/* ---- IPC: one client over a local socket, SMARTBUS_IPC_SOCKET or /tmp/smartbus_ipc ---- */

SB_API int SmartBusIpcCli_Init(int clienttype, int clientid);
SB_API void SmartBusIpcCli_Release(void);
SB_API void SmartBusIpcCli_SetCallBackFn(smartbus_cli_connection_cb connection,
                                         smartbus_cli_recvdata_cb recvdata,
                                         smartbus_cli_disconnect_cb disconnect,
                                         smartbus_invokeflow_ret_cb flow_ret,
                                         smartbus_global_connect_cb global_connect, void *arg);
SB_API void SmartBusIpcCli_SetCallBackFnArg(void *arg);
SB_API void SmartBusIpcCli_SetCallBackFnEx(const char *name, void *fn);
SB_API void SmartBusIpcCli_SetTrace(smartbus_trace info, smartbus_trace error);
SB_API void SmartBusIpcCli_SetTraceStr(smartbus_trace_str info, smartbus_trace_str error);
/* While a connection is there or being tried: SB_EISCONN. After a refusal it tries anew. */
SB_API int SmartBusIpcCli_CreateConnect(const char *username, const char *password,
                                        const char *add_info);
SB_API int SmartBusIpcCli_SendData(unsigned char cmd, unsigned char cmdtype, int dst_unitid,
                                   int dst_clientid, int dst_clienttype, const void *data,
                                   int size);
SB_API int SmartBusIpcCli_SendPing(int dst_unitid, int dst_clientid, int dst_clienttype,
                                   const void *data, int size);
SB_API int SmartBusIpcCli_RemoteInvokeFlow(int server_unitid, int processindex,
                                           const char *projectid, const char *flowid, int mode,
                                           int timeout, const char *in_valuelist);
SB_API int SmartBusIpcCli_SendNotify(int server_unitid, int processindex, const char *projectid,
                                     const char *title, int mode, int expires, const char *param);

#ifdef __cplusplus
}
#endif
#endif
