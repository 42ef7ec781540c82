import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

// Answers every request with what stands in `answer` beside it, the property
// `mark` and the first argument. Answer.class is made of this by
// `javac --release 8 -g:none Answer.java`: where tests run there need not be a
// compiler.
public class Answer {
    public static void main(String[] arguments) throws Exception {
        byte[] beside = new byte[64];
        int length;
        try (InputStream in = Answer.class.getResourceAsStream("answer")) {
            length = in.read(beside);
        }
        String answer = new String(beside, 0, length, "UTF-8")
            + System.getProperty("mark")
            + arguments[0];
        String reply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
            + answer.length() + "\r\n\r\n" + answer;
        int port = Integer.parseInt(System.getenv("PORT"));
        ServerSocket listener = new ServerSocket(port, 50, InetAddress.getByName("127.0.0.1"));
        while (true) {
            try (Socket socket = listener.accept()) {
                BufferedReader in =
                    new BufferedReader(new InputStreamReader(socket.getInputStream(), "UTF-8"));
                String line = in.readLine();
                while (line != null && !line.isEmpty()) {
                    line = in.readLine();
                }
                OutputStream out = socket.getOutputStream();
                out.write(reply.getBytes("UTF-8"));
                out.flush();
            } catch (IOException e) {
                // Whoever only looks whether somebody listens is gone already.
            }
        }
    }
}
